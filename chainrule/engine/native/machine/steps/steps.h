/* A step done on the lanes of a block. */

#include "context.h"
#include "rows.h"
#include "flat.h"
#include "sums.h"
#include "products.h"
#include "differences.h"
#include "lines.h"
#include "numbered.h"

static void
do_step(Context *context, const Step *step)
{
    switch (step->code) {
    case STEP_apply:
    case STEP_one_minus:
    case STEP_one_minus_square:
    case STEP_copy:
    case STEP_add:
    case STEP_sigmoids:
        elements(context, step);
        break;
    case STEP_move:
        move(context, step);
        break;
    case STEP_gather:
    case STEP_scatter:
    case STEP_scatter_add:
        gather(context, step);
        break;
    case STEP_product:
        product(context, step);
        break;
    case STEP_linked_product:
        linked_product(context, step);
        break;
    case STEP_sum:
        sum(context, step);
        break;
    case STEP_squared_distance:
        squared_distance(context, step);
        break;
    case STEP_weighted_difference:
        weighted_difference(context, step);
        break;
    case STEP_one_hot:
        one_hot(context, step);
        break;
    case STEP_pick:
    case STEP_spread:
        rows_by_number(context, step);
        break;
    case STEP_call:
        call(context, step);
        break;
    case STEP_flat:
        flat(context, step);
        break;
    default:
        lines(context, step);
    }
}
