# Documents that travel with the source.

EXTRA_DIST += \
    docs/adding-an-op.md \
    docs/architecture.md \
    docs/conventions.md \
    docs/figures/lstm2.svg \
    docs/figures/scalar_growth.svg \
    docs/figures/sequence_growth.svg \
    docs/language.md \
    docs/ops.md \
    docs/performance.md \
    docs/tutorial.md \
    docs/tutorial.svg
