#include "kernels/matmul.h"

namespace kexa {
namespace {

constexpr int kTileOutputs = 4, kTileRows = 4;
constexpr uint32_t kThreads = 64;

}  // namespace

Matmul::Matmul(KernelSet& kernels, const Activations& activations, const GpuMatrix& weight, const Vectors& x,
               const Vectors& y, const Options& options, const Buffer& nothing) {
  Prelude prelude = kernels.prelude();
  prelude.weights(weight.type)
      .set("OUTPUTS", weight.rows)
      .set("COLUMN_CHUNKS", weight.column_chunks())
      .set("X_STRIDE", x.stride)
      .set("Y_STRIDE", y.stride)
      .alias("X4", x.is_element ? "E4" : "vec4f")
      .alias("Y", y.is_element ? "E" : "f32")
      .set("HAS_NORM", options.gain != nullptr)
      .set("NORM_SIZE", float(weight.columns))
      .set("EPSILON", options.epsilon)
      .set("ADDS", options.adds)
      .set("IS_GATHERED", options.is_gathered)
      .set("TILE_OUTPUTS", kTileOutputs)
      .set("TILE_ROWS", kTileRows)
      .set("THREADS", kThreads);
  few_ = kernels.make("multiply", prelude,
                      {read(weight.buffer), read(*x.buffer), read(options.gain ? *options.gain : nothing),
                       read(activations.step), write(*y.buffer)},
                      ceil_div(weight.rows, kTileOutputs), kTileRows);
}

void Matmul::run(const KernelSet& kernels, int rows) const { kernels.run(few_, rows); }

Op make_rms_norm(KernelSet& kernels, const Buffer& gain, const Buffer& x, const Buffer& y, int size, float epsilon,
                 int y_stride, int y_offset, bool adds) {
  Prelude prelude = kernels.prelude();
  prelude.set("SIZE", size)
      .set("EPSILON", epsilon)
      .set("X_STRIDE", padded(size))
      .set("Y_STRIDE", y_stride)
      .set("Y_OFFSET", y_offset)
      .set("ADDS", adds)
      .set("THREADS", kThreads);
  return kernels.make("rms_norm", prelude, {read(gain), read(x), write(y)}, 1);
}

}  // namespace kexa
