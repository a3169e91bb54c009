/* Products: every case is a nest of loops over numbers, with lanes as one more axis. */

struct Product {
    Loop loop; /* over the result's elements */
    Loop sum;  /* over what is summed */
};

static int
make_product(Machine *machine, Step *step)
{
    Product *product = step->product = machine_room(machine, sizeof(Product));
    int n = step->n_axes;
    if (product == NULL || make_loop(machine, step, 0, n - 1, &product->loop) < 0 ||
        make_loop(machine, step, n - 1, n, &product->sum) < 0) {
        return -1;
    }
    return 0;
}
