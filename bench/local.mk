# Benchmarks: bench/NAME is made from bench/NAME.c and what they share; `make bench' runs them all
# with $(BENCH_OPTIONS) (docs/performance.md). They are no part of `make all'.

bench_list = \
    bench/kernels \
    bench/lengths \
    bench/loops \
    bench/record \
    bench/seq \
    bench/small \
    bench/steps

EXTRA_PROGRAMS = $(bench_list)
EXTRA_LTLIBRARIES = libwgbench.la
CLEANFILES += $(bench_list) libwgbench.la bench/loops_hand.$(OBJEXT) bench/small_native.$(OBJEXT) bench/small_fast.$(OBJEXT)

# The peers' libraries, called directly; libgomp is oneDNN's, whose threads we count.
bench_peers = $(DNNL_LIBS) $(OPENBLAS_LIBS) $(GOMP_LIBS)

libwgbench_la_CPPFLAGS = $(AM_CPPFLAGS) $(OPENBLAS_CFLAGS)
libwgbench_la_SOURCES = \
    bench/bench.c \
    bench/bench.h \
    bench/bench_lib.c \
    bench/bench_rates.c \
    bench/graphs.c \
    bench/graphs.h
libwgbench_la_LIBADD = libwengert.la $(bench_peers) $(ARGP_LIBS) $(THREAD_LIBS) $(LIBM)

bench_kernels_LDADD = libwgbench.la
bench_lengths_LDADD = libwgbench.la
bench_record_LDADD = libwgbench.la

bench_loops_SOURCES = bench/loops.c bench/loops.h
bench_loops_LDADD = bench/loops_hand.$(OBJEXT) libwgbench.la $(LIBM)

bench_small_SOURCES = \
    bench/small.c \
    bench/small.h \
    bench/small_logistic.c \
    bench/small_lstm.c \
    bench/small_mixture.c \
    bench/small_rosenbrock.c \
    bench/small_scalar20.c
bench_small_LDADD = bench/small_native.$(OBJEXT) bench/small_fast.$(OBJEXT) libwgbench.la $(LIBM)

# The hand-written functions once more, with the flags that a user in a hurry would give: after
# $(CFLAGS), so that they win.
EXTRA_DIST += bench/loops_hand.c bench/small_hand.c
small_hand = $(CC) $(AM_CPPFLAGS) $(CPPFLAGS) $(CFLAGS) -O3 -march=native

bench/small_native.$(OBJEXT): bench/small_hand.c $(bench_small_SOURCES) bench/$(am__dirstamp)
	$(AM_V_CC)$(small_hand) -DSMALL_VARIANT=native -c -o $@ $(srcdir)/bench/small_hand.c
bench/small_fast.$(OBJEXT): bench/small_hand.c $(bench_small_SOURCES) bench/$(am__dirstamp)
	$(AM_V_CC)$(small_hand) -ffast-math -DSMALL_VARIANT=fast -c -o $@ $(srcdir)/bench/small_hand.c
bench/loops_hand.$(OBJEXT): bench/loops_hand.c bench/loops.h bench/$(am__dirstamp)
	$(AM_V_CC)$(small_hand) -ffast-math -c -o $@ $(srcdir)/bench/loops_hand.c

# Models beside their peers: what bench/steps and bench/seq share.
bench_beside = \
    bench/beside.c \
    bench/beside.h \
    bench/hand_mlp.h \
    bench/step.c \
    bench/step.h \
    bench/torch_peer.c \
    bench/torch_peer.h
bench_beside_flags = $(AM_CPPFLAGS) $(OPENBLAS_CFLAGS) -DBENCH_DIR='"$(abs_top_srcdir)/bench"'

bench_seq_SOURCES = $(bench_beside) \
    bench/hand_rnn.c \
    bench/hand_rnn.h \
    bench/seq.c \
    bench/seq_models.c \
    bench/seq_models.h
bench_seq_CPPFLAGS = $(bench_beside_flags)
bench_seq_LDADD = libwgbench.la

bench_steps_SOURCES = $(bench_beside) \
    bench/hand_mlp.c \
    bench/step_models.c \
    bench/step_models.h \
    bench/steps.c
bench_steps_CPPFLAGS = $(bench_beside_flags)
bench_steps_LDADD = libwgbench.la
EXTRA_DIST += bench/peer_torch.py bench/plot.py

bench-programs: $(bench_list)

bench: bench-programs
	@for name in record small kernels loops steps seq lengths; do \
	    echo "== bench/$$name $(BENCH_OPTIONS)" >&2; bench/$$name $(BENCH_OPTIONS) || exit 1; \
	done

.PHONY: bench bench-programs
