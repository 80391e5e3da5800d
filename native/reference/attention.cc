// Attention on the CPU device: each row's query heads against the keys it may see.
#include <algorithm>
#include <cmath>

#include "reference/cpu_device.h"
#include "reference/matmul.h"

namespace kexa {

// softmax(q k / sqrt(head_dim)) v for the query heads that share one KV head. Keys are taken in blocks, counted from
// the first one the row sees; each block rescales what came before by the change of the maximum (online softmax).
void CpuDevice::attend(int layer, int row, int kv_head, Attending& attending) {
  const Row& query = step_.rows[row];
  const int window = description_.layer(layer).window, head_dim = description_.head_dim;
  const int group = description_.heads / description_.kv_heads;
  const int first_key = window ? std::max(0, query.position - window + 1) : 0;
  const float scale = 1.0f / std::sqrt(float(head_dim));
  const float* q = &q_[size_t(row) * description_.q_width() + size_t(kv_head) * group * head_dim];
  const int64_t head_offset = int64_t(kv_head) * head_dim * element_bytes(kv_.type);
  float* key_or_value = attending.row.data();

  std::vector<float>& output = attending.output;
  std::fill(output.begin(), output.end(), 0.0f);
  std::vector<float>&maximum = attending.maximum, &sum = attending.sum;
  std::fill(maximum.begin(), maximum.end(), -INFINITY);
  std::fill(sum.begin(), sum.end(), 0.0f);

  for (int start = first_key; start <= query.position; start += kKeyBlock) {
    const int keys = std::min(kKeyBlock, query.position + 1 - start);
    for (int key = 0; key < keys; ++key) {
      const int64_t at = slots_->row(layer, query.slot, start + key) * kv_.row_bytes() + head_offset;
      read_elements(cache_[layer].keys.data() + at, kv_.type, head_dim, key_or_value);
      for (int h = 0; h < group; ++h)
        attending.scores[h * kKeyBlock + key] = dot(q + h * head_dim, key_or_value, head_dim) * scale;
    }
    for (int h = 0; h < group; ++h) {
      float* scores = &attending.scores[size_t(h) * kKeyBlock];
      const float block_maximum = std::max(maximum[h], *std::max_element(scores, scores + keys));
      const float rescale = std::exp(maximum[h] - block_maximum);
      maximum[h] = block_maximum;
      sum[h] *= rescale;
      for (int i = 0; i < head_dim; ++i) output[h * head_dim + i] *= rescale;
      for (int key = 0; key < keys; ++key) sum[h] += scores[key] = std::exp(scores[key] - block_maximum);
    }
    for (int key = 0; key < keys; ++key) {
      const int64_t at = slots_->row(layer, query.slot, start + key) * kv_.row_bytes() + head_offset;
      read_elements(cache_[layer].values.data() + at, kv_.type, head_dim, key_or_value);
      for (int h = 0; h < group; ++h) {
        const float weight = attending.scores[h * kKeyBlock + key];
        for (int i = 0; i < head_dim; ++i) output[h * head_dim + i] += weight * key_or_value[i];
      }
    }
  }
  float* attended = &attended_[size_t(row) * description_.q_width() + size_t(kv_head) * group * head_dim];
  for (int h = 0; h < group; ++h)
    for (int i = 0; i < head_dim; ++i) attended[h * head_dim + i] = output[h * head_dim + i] / sum[h];
}

void CpuDevice::attention(int layer) {
  const int kv_heads = description_.kv_heads;
  pool_.run(rows_ * kv_heads,
            [&](int task, int thread) { attend(layer, task / kv_heads, task % kv_heads, attending_[thread]); });
}

}  // namespace kexa
