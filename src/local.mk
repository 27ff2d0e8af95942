# The libraries.
#   libwgops.la         ops/, made in ops/local.mk; compiled as kernels: integers wrap
#   libwg.la            everything, src/ and ops/; not installed; the tests link it and so reach
#                       internal functions
#   libwengert.la       libwg.la with its public functions alone visible
#   libwgdraw.la        src/draw/render.c, for the tests
#   libwengert-draw.la  the same, installed: a program that only computes does not load cairo

noinst_LTLIBRARIES += libwg.la libwgdraw.la
lib_LTLIBRARIES += libwengert.la libwengert-draw.la

libwg_la_SOURCES =
libwg_la_CPPFLAGS = $(AM_CPPFLAGS) -DWG_BUILDING $(CGRAPH_CFLAGS) $(JANSSON_CFLAGS) $(OPENBLAS_CFLAGS)
libwg_la_CFLAGS = $(AM_CFLAGS) $(WG_LIB_CFLAGS)
libwg_la_LIBADD = libwgops.la $(CGRAPH_LIBS) $(JANSSON_LIBS) $(SLEEF_LIBS) $(DNNL_LIBS) $(OPENBLAS_LIBS) $(GOMP_LIBS) $(LIBM) $(THREAD_LIBS)

libwengert_la_SOURCES =
libwengert_la_LIBADD = libwg.la
libwengert_la_LDFLAGS = $(AM_LDFLAGS) $(WG_LIB_LDFLAGS) -no-undefined -version-info $(WG_VERSION_INFO)

libwgdraw_la_SOURCES =
libwgdraw_la_CPPFLAGS = $(AM_CPPFLAGS) -DWG_BUILDING $(GVC_CFLAGS)
libwgdraw_la_CFLAGS = $(AM_CFLAGS) $(WG_LIB_CFLAGS)
libwgdraw_la_LIBADD = $(GVC_LIBS)

libwengert_draw_la_SOURCES =
libwengert_draw_la_LIBADD = libwgdraw.la libwengert.la
libwengert_draw_la_LDFLAGS = $(AM_LDFLAGS) $(WG_LIB_LDFLAGS) -no-undefined -version-info $(WG_VERSION_INFO)

include src/base/local.mk
include src/tensor/local.mk
include src/tape/local.mk
include src/grad/local.mk
include src/check/local.mk
include src/pass/local.mk
include src/exec/local.mk
include src/vm/local.mk
include src/optim/local.mk
include src/rnn/local.mk
include src/text/local.mk
include src/draw/local.mk
