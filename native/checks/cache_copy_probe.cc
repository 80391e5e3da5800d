// Copies rows of the cache on both devices, and tells whether that waited for the GPU.
#include <cstring>
#include <random>

#include "checks/device_probe.h"

namespace kexa {
namespace {

// Rows that are more than one page, so that the GPU copies them in pieces.
constexpr int kCopiedRows = kPageRows + 5;

}  // namespace

CacheCopyResult DeviceProbe::copy_cache(int layer, uint32_t seed) {
  const int rows = int(plan_.kv.cache_rows(layer)), from = 3, to = rows - kCopiedRows;
  std::mt19937 random(seed);
  CacheCopyResult result;
  const auto check = [&](Device& device) {
    const size_t row_bytes = size_t(device.cache_row_bytes());
    std::vector<std::byte> wanted(2 * size_t(rows) * row_bytes), found(wanted.size());
    for (std::byte& each : wanted) each = std::byte(random());
    device.write_cache(layer, 0, rows, wanted);
    device.copy_cache(layer, from, to, kCopiedRows);
    for (size_t side : {size_t(0), wanted.size() / 2})
      std::memcpy(&wanted[side + to * row_bytes], &wanted[side + from * row_bytes], kCopiedRows * row_bytes);
    // The second half of the rows comes first, the values before the keys.
    const int half = rows / 2;
    const size_t half_bytes = size_t(half) * row_bytes, rest_bytes = size_t(rows - half) * row_bytes;
    const CacheRun runs[] = {{layer, half, rows - half, rest_bytes, 0},
                             {layer, 0, half, 2 * rest_bytes + half_bytes, 2 * rest_bytes}};
    const int ticket = device.read_cache(runs, found.size());
    // Comes after the copy, so the copy does not have it.
    const std::vector<std::byte> zeros(2 * size_t(rows) * row_bytes);
    device.write_cache(layer, 0, rows, zeros);
    device.drop_cache(device.read_cache(runs, found.size()));
    if (const auto profile = device.take_profile()) result.waits += int(profile->waits);
    device.take_cache(ticket, found);
    const auto compare = [&](size_t at, size_t first, size_t bytes) {
      result.wrong_bytes +=
          int(bytes) - int(std::mismatch(&found[at], &found[at] + bytes, &wanted[first]).first - &found[at]);
    };
    const size_t values = size_t(rows) * row_bytes;
    compare(0, values + half_bytes, rest_bytes);
    compare(rest_bytes, half_bytes, rest_bytes);
    compare(2 * rest_bytes, values, half_bytes);
    compare(2 * rest_bytes + half_bytes, 0, half_bytes);
  };
  check(cpu_);
  gpu_.start_profile();
  check(gpu_);
  return result;
}

}  // namespace kexa
