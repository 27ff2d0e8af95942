# The examples, each a program examples/NAME.c, run by tests/test_examples.sh. Those of the
# second list are shown word for word in a document, which tests/test_docs.sh holds to it.
# A new one: its name in a list, and below the files it is made from.

noinst_PROGRAMS += \
    examples/adding \
    examples/char_rnn \
    examples/copy_task \
    examples/digits \
    examples/logistic \
    examples/lstm2 \
    examples/mixture \
    examples/rnn_bptt \
    examples/state_space

noinst_PROGRAMS += \
    examples/adding_an_op \
    examples/rosenbrock \
    examples/tutorial

# What the first ones share.
noinst_LTLIBRARIES += libwgexample.la
libwgexample_la_SOURCES = examples/common.c examples/common.h
libwgexample_la_CPPFLAGS = $(AM_CPPFLAGS) $(ZLIB_CFLAGS)
libwgexample_la_LIBADD = libwengert.la $(ZLIB_LIBS) $(ARGP_LIBS) $(LIBM)

# Where they find their data unless --data says otherwise.
example_data = $(AM_CPPFLAGS) -DEXAMPLE_DATA='"$(abs_top_srcdir)/examples/data"'

examples_adding_LDADD = libwgexample.la $(LIBM)
examples_char_rnn_LDADD = libwgexample.la $(LIBM)
examples_copy_task_LDADD = libwgexample.la $(LIBM)
examples_lstm2_CPPFLAGS = $(example_data)
examples_lstm2_LDADD = libwgexample.la $(LIBM)
examples_state_space_CPPFLAGS = $(example_data)
examples_state_space_LDADD = libwgexample.la $(LIBM)
examples_digits_CPPFLAGS = $(example_data)
examples_digits_LDADD = libwgexample.la
examples_logistic_CPPFLAGS = $(example_data)
examples_logistic_LDADD = libwgexample.la
examples_mixture_CPPFLAGS = $(example_data)
examples_mixture_LDADD = libwgexample.la
examples_rnn_bptt_CPPFLAGS = $(example_data)
examples_rnn_bptt_LDADD = libwgexample.la

examples_adding_an_op_LDADD = libwengert.la $(LIBM)
examples_rosenbrock_LDADD = libwengert.la $(LIBM)
examples_tutorial_LDADD = libwengert.la $(LIBM)

EXTRA_DIST += \
    examples/data \
    examples/adding.wg \
    examples/char_rnn.wg \
    examples/copy_task.wg \
    examples/digits.wg \
    examples/logistic.wg \
    examples/lstm2.wg \
    examples/mixture.wg \
    examples/rnn_bptt.wg \
    examples/state_space.py \
    examples/state_space.wg
