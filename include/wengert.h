/* Wengert: automatic differentiation on computational graphs.
 *
 * Include this header to use the library. It pulls in every public part; each part also compiles
 * alone. Conventions that hold everywhere (docs/conventions.md says why):
 *
 *   - Argument order: the object, then inputs, each array followed by its length, then options,
 *     then outputs; a callback is followed by its payload.
 *   - Ownership: a returned pointer is borrowed unless the comment says "owned"; every owned type
 *     has one `_free`, which takes NULL. Arrays and strings passed in are copied (but for
 *     wg_bind: runs read an input's elements where they are).
 *   - Errors: fallible calls return a wg_status, or an invalid handle / NULL. The message sits in
 *     the tape, session or state that failed, never in a global. Nothing prints, exits or aborts.
 *   - Threads: a tape, a session and a state have one user at a time; programs and contexts are
 *     shared freely.
 */
#ifndef WENGERT_H
#define WENGERT_H

#include <wengert/types.h>
#include <wengert/ctx.h>
#include <wengert/tensor.h>
#include <wengert/tape.h>
#include <wengert/control.h>
#include <wengert/ops.h>
#include <wengert/op.h>
#include <wengert/grad.h>
#include <wengert/program.h>
#include <wengert/optim.h>
#include <wengert/rnn.h>
#include <wengert/text.h>
#include <wengert/check.h>
#include <wengert/draw.h>

#endif
