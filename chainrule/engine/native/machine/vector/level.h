/* What runs over stretches of numbers, compiled once for each level of the processor: see levels.h,
   which says WIDTH, how many doubles a vector has, and LEVEL, which puts the level into a name.

   Arithmetic is the engine's to the last bit. exp and log are our own here, within one unit in the
   last place of the engine's, and what is made of them follows the engine's formulas. */

#include "vectors.h"
#include "functions.h"
#include "rows.h"
#include "products.h"
#include "flat.h"
#include "differences.h"
#include "lanes.h"
#include "careful.h"
#include "long_lines.h"

static const struct Vector LEVEL(functions) = {
    LEVEL_NAME, WIDTH, LEVEL(rows), LEVEL(sigmoids), LEVEL(add_to), LEVEL(total), LEVEL(flat),
    LEVEL(tiles), LEVEL(into_lanes), LEVEL(out_of_lanes), LEVEL(along_result), LEVEL(along_sum), LEVEL(careful),
    LEVEL(long_line), LEVEL(squared_distance), LEVEL(weighted_difference), LEVEL(weighted_total),
    LEVEL(nonzero),
};

#undef V
#undef I
#undef LOAD
#undef STORE
#undef SET
#undef WHOLE
#undef BITS
#undef FLOATS
#undef SELECT
#undef SHIFTED
#undef TAKEN
#undef FMA
#undef OVER
#undef BINARY_SWITCH
#undef UNARY_VECTORS
#undef BINARY_VECTORS
#undef LOAD_LEFT
#undef STORE_LEFT
#undef RESULT_TILE
#undef EACH_ROW
#undef EACH_COLUMN
#undef AT
#undef SQUARE_ROOT
#undef AT_MOST
#undef MOST_TURNED
#undef AT_LEAST
#undef LOAD_PART
#undef STORE_PART
#undef MASK
#undef SUM_TILE

/* The parameters of the level: the next one sets its own. */
#undef LEVEL
#undef LEVEL_NAME
#undef WIDTH
#undef FUSED
#undef TILE_VECTORS
#undef TILE_COLUMNS
