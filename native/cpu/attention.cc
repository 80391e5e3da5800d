// Attention on the CPU device: the query heads of each row and the keys that the row may see.
#include <algorithm>
#include <cmath>

#include "cpu/cpu_device.h"
#include "cpu/panel.h"

namespace kexa {

// softmax(q k / sqrt(head_dim)) v for the query heads that share one KV head. Keys come in blocks, counted from the
// first key that the row sees. Each block rescales the earlier sums by the change of the maximum (online softmax). Sums
// of all blocks are in f64: in f32 an output is off by 1e-4 of itself after 200,000 keys.
void CpuDevice::attend(int layer, int row, int kv_head, Attending& attending) {
  const PanelKernels& kernels = panel_kernels();
  const Row& query = step_.rows[row];
  const int window = description_.layer(layer).window, head_dim = description_.head_dim;
  const int group = description_.heads / description_.kv_heads;
  const int first_key = window ? std::max(0, query.position - window + 1) : 0;
  const float scale = 1.0f / std::sqrt(float(head_dim));
  const float* q = &q_[size_t(row) * description_.q_width() + size_t(kv_head) * group * head_dim];
  const int64_t head_offset = kv_head * kv_.head_bytes();
  const int columns = kv_.head_elements();  // zeros past head_dim

  // The elements past head_dim stay zero, because nothing ever writes them.
  for (int h = 0; h < group; ++h)
    std::copy_n(q + size_t(h) * head_dim, head_dim, &attending.queries[size_t(h) * columns]);
  std::vector<double>&output = attending.output, &sum = attending.sum;
  std::fill(output.begin(), output.end(), 0.0);
  std::fill(sum.begin(), sum.end(), 0.0);
  std::vector<float>&maximum = attending.maximum, &block = attending.block;
  std::fill(maximum.begin(), maximum.end(), -INFINITY);
  const std::byte* values[kKeyBlock];
  PanelSource keys{.type = kv_.type, .columns = columns, .rows = {}, .scales = {}};
  const float* heads[kPanelRows];
  float products[kPanelOutputs * kPanelRows];

  for (int start = first_key; start <= query.position; start += kKeyBlock) {
    const int count = std::min(kKeyBlock, query.position + 1 - start);
    for (int first = 0; first < count; first += kPanelOutputs) {
      const int outputs = std::min(kPanelOutputs, count - first);
      for (int o = 0; o < kPanelOutputs; ++o) {
        const int key = first + (o < outputs ? o : 0);
        const int64_t at =
            slots_->row(description_.part.first_layer + layer, query.slot, start + key) * kv_.row_bytes() + head_offset;
        keys.rows[o] = cache_[layer].keys.data() + at;
        values[key] = cache_[layer].values.data() + at;
      }
      for (int h = 0; h < group; h += kPanelRows) {
        const int together = std::min(kPanelRows, group - h);
        for (int i = 0; i < together; ++i) heads[i] = &attending.queries[size_t(h + i) * columns];
        kernels.multiply_panel(keys, heads, together, products);
        for (int i = 0; i < together; ++i)
          for (int o = 0; o < outputs; ++o)
            attending.scores[size_t(h + i) * kKeyBlock + first + o] = products[o * kPanelRows + i] * scale;
      }
    }
    for (int h = 0; h < group; ++h) {
      float* scores = &attending.scores[size_t(h) * kKeyBlock];
      const float block_maximum = std::max(maximum[h], *std::max_element(scores, scores + count));
      const double rescale = std::exp(double(maximum[h]) - block_maximum);
      maximum[h] = block_maximum;
      float block_sum = 0;
      for (int key = 0; key < count; ++key) block_sum += scores[key] = std::exp(scores[key] - block_maximum);
      sum[h] = sum[h] * rescale + block_sum;
      std::fill(block.begin(), block.end(), 0.0f);
      kernels.add_scaled(kv_.type, values, scores, count, columns, block.data());
      double* of_head = &output[size_t(h) * columns];
      for (int i = 0; i < head_dim; ++i) of_head[i] = of_head[i] * rescale + block[i];
    }
  }
  float* attended = &attended_[size_t(row) * description_.q_width() + size_t(kv_head) * group * head_dim];
  for (int h = 0; h < group; ++h)
    for (int i = 0; i < head_dim; ++i) attended[h * head_dim + i] = float(output[h * columns + i] / sum[h]);
}

void CpuDevice::attention(int layer) {
  const int kv_heads = description_.kv_heads;
  pool_.run(rows_ * kv_heads,
            [&](int task, int thread) { attend(layer, task / kv_heads, task % kv_heads, attending_[thread]); });
}

}  // namespace kexa
