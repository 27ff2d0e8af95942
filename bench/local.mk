# Benchmarks: bench/NAME is made from bench/NAME.c, by `make bench' alone.

bench_list =

EXTRA_PROGRAMS = $(bench_list)
CLEANFILES += $(bench_list)

bench: $(bench_list)
.PHONY: bench
