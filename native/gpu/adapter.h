// The GPUs that Dawn sees on this machine, and what each says of itself.
#pragma once

#include <string>
#include <vector>

#include "gpu/handle.h"

namespace kexa {

// C [M, N] = A [M, K] B [K, N] in one instruction of a subgroup. Types as WGSL writes them: f16, f32, i8, i32, u8, u32.
struct MatrixShape {
  std::string component, result;
  uint32_t m = 0, n = 0, k = 0;
};

struct MemoryHeap {
  uint64_t bytes = 0;
  bool is_device_local = false, is_host_visible = false;
};

// What one adapter says of itself.
struct AdapterFacts {
  std::string vendor, architecture, device, description, backend;
  bool is_software = false;    // a CPU pretending
  bool is_integrated = false;  // shares the main memory
  bool has_f16 = false, has_subgroups = false, has_timestamps = false, has_subgroup_matrices = false;
  bool has_timestamps_inside_passes = false;
  uint32_t subgroup_min = 0, subgroup_max = 0;
  uint64_t max_buffer_bytes = 0, max_binding_bytes = 0;
  uint32_t max_workgroup_bytes = 0, max_invocations = 0, max_workgroup_size_x = 0, max_storage_buffers = 0;
  std::vector<MatrixShape> matrix_shapes;  // of the subgroup matrices it can multiply
  std::vector<MemoryHeap> heaps;           // where Dawn tells
};

// With allow_unsafe_apis and timed waits. Throws KEXA_NO_DEVICE.
InstanceHandle create_instance();

struct FoundAdapter {
  AdapterHandle handle;
  AdapterFacts facts;
};

// `wanted` is part of an adapter's name or description in any case, or "gpu" for the best one that is no software,
// either with ":N" behind it for the one after N others that it fits; or "null" for Dawn's Null backend, which checks
// everything and computes nothing. Throws KEXA_NO_DEVICE, with the names of those found.
FoundAdapter find_adapter(WGPUInstance instance, const std::string& wanted);

// The adapters Dawn offers on this machine, best first; the Null backend is none of them. load_dawn() first.
std::vector<AdapterFacts> list_adapters();

// The features of WebGPU and Dawn that kexa uses where they are offered.
std::vector<WGPUFeatureName> wanted_features(WGPUAdapter adapter);

}  // namespace kexa
