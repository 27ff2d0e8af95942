# The fused executor.

libwg_la_SOURCES += \
    src/vm/blas.c \
    src/vm/blas.h \
    src/vm/compile.c \
    src/vm/compile.h \
    src/vm/compile_product.c \
    src/vm/compile_scalars.c \
    src/vm/compiling.h \
    src/vm/cut.c \
    src/vm/explain.c \
    src/vm/loop.h \
    src/vm/loop_apply.c \
    src/vm/loop_build.c \
    src/vm/loop_copy.c \
    src/vm/loop_emit.c \
    src/vm/loop_emit.h \
    src/vm/loop_inst.h \
    src/vm/loop_move.c \
    src/vm/loop_pair.c \
    src/vm/loop_reduce.c \
    src/vm/loop_regs.c \
    src/vm/loop_run.c \
    src/vm/loop_sink.c \
    src/vm/loop_space.c \
    src/vm/memory.c \
    src/vm/pack.c \
    src/vm/plan.c \
    src/vm/planner.h \
    src/vm/product.c \
    src/vm/product.h \
    src/vm/product_parts.h \
    src/vm/run.c \
    src/vm/scalars.h \
    src/vm/scalars_build.c \
    src/vm/scalars_code.h \
    src/vm/scalars_pack.c \
    src/vm/scalars_run.c \
    src/vm/steps.c \
    src/vm/vm.c \
    src/vm/vm.h
