# The tests. A program tests/NAME is made from tests/NAME.c: a new one is one line in the list.
# A shell test is one line in script_list; exit 77 means skipped. They run in the build folder
# and find the source in $WG_SRCDIR, the build in $WG_BUILDDIR; what they write goes to scratch/.

test_list = \
    tests/test_alloc \
    tests/test_base \
    tests/test_block \
    tests/test_bodies \
    tests/test_budget \
    tests/test_cache \
    tests/test_check \
    tests/test_control \
    tests/test_draw \
    tests/test_exec \
    tests/test_fn \
    tests/test_fuse \
    tests/test_grad \
    tests/test_join \
    tests/test_loop \
    tests/test_loops \
    tests/test_ops \
    tests/test_optim \
    tests/test_oracle \
    tests/test_pair \
    tests/test_pass \
    tests/test_product \
    tests/test_random \
    tests/test_registry \
    tests/test_rnn \
    tests/test_rules \
    tests/test_safetensors \
    tests/test_scalars \
    tests/test_scans \
    tests/test_session \
    tests/test_split \
    tests/test_state \
    tests/test_tape \
    tests/test_team \
    tests/test_tensor \
    tests/test_text \
    tests/test_turn \
    tests/test_value \
    tests/test_vm

script_list = \
    tests/test_bench.sh \
    tests/test_cli.sh \
    tests/test_docs.sh \
    tests/test_examples.sh \
    tests/test_gen.sh

house_list = \
    tools/dev/check-exports \
    tools/dev/check-headers \
    tools/dev/check-includes \
    tools/dev/check-lists

dist_check_SCRIPTS = $(script_list) $(house_list)
EXTRA_DIST += tests/fault.h tests/fuse_samples.h tests/loop_oracle.h tests/on_tape.h tests/passing.h tests/random_graph.h tests/random_loop.h tests/random_model.h tests/rng.h tests/running.h tests/scalar_ops.h tests/suite.h tests/text_tapes.h tests/equivalents.txt tests/lsan.supp tests/cli tests/oracle tests/pass tests/text

# Whatever names no libraries of its own is a test, and sees the inside.
LDADD = libwg.la $(CHECK_LIBS) $(LIBM)
AM_CPPFLAGS += $(CHECK_CFLAGS)
tests_test_draw_CPPFLAGS = $(AM_CPPFLAGS) $(CGRAPH_CFLAGS)
tests_test_draw_LDADD = libwgdraw.la $(LDADD)

if WG_TESTS
check_PROGRAMS = $(test_list)
endif
TESTS = $(check_PROGRAMS) $(dist_check_SCRIPTS)

TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)

AM_TESTS_ENVIRONMENT = \
    $(MKDIR_P) scratch; \
    WG_SRCDIR='$(abs_top_srcdir)'; export WG_SRCDIR; \
    WG_BUILDDIR='$(abs_top_builddir)'; export WG_BUILDDIR; \
    CC='$(CC)'; export CC; CXX='$(CXX)'; export CXX; NM='$(NM)'; export NM; \
    ASAN_OPTIONS="allocator_may_return_null=1:$$ASAN_OPTIONS"; export ASAN_OPTIONS; \
    LSAN_OPTIONS="suppressions=$(abs_top_srcdir)/tests/lsan.supp:print_suppressions=0:$$LSAN_OPTIONS"; \
    export LSAN_OPTIONS; \
    TSAN_OPTIONS="ignore_noninstrumented_modules=1:$$TSAN_OPTIONS"; export TSAN_OPTIONS; \
    UBSAN_OPTIONS="print_stacktrace=1:$$UBSAN_OPTIONS"; export UBSAN_OPTIONS;

# Memory checked at run time, in one process per program.
valgrind_list = \
    tests/test_base \
    tests/test_cache \
    tests/test_exec \
    tests/test_fn \
    tests/test_grad \
    tests/test_pass \
    tests/test_rules \
    tests/test_scans \
    tests/test_session \
    tests/test_state \
    tests/test_tape \
    tests/test_tensor \
    tests/test_text \
    tests/test_value

check-valgrind:
	CK_FORK=no $(MAKE) check TESTS='$(valgrind_list)' \
	    LOG_COMPILER='valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect'

clean-local:
	rm -rf scratch

.PHONY: check-valgrind
