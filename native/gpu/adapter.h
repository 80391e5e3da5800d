// The GPUs that Dawn sees on this machine, and their properties.
#pragma once

#include <string>
#include <vector>

#include "gpu/handle.h"

namespace kexa {

// A product C [M, N] = A [M, K] B [K, N] that a subgroup computes in one instruction. Types are spelled as in WGSL:
// f16, f32, i8, i32, u8, u32.
struct MatrixShape {
  std::string component, result;
  uint32_t m = 0, n = 0, k = 0;
};

struct MemoryHeap {
  uint64_t bytes = 0;
  bool is_device_local = false, is_host_visible = false;
};

// The properties of one adapter.
struct AdapterFacts {
  std::string vendor, architecture, device, description, backend;
  bool is_software = false;    // a CPU that plays a GPU
  bool is_integrated = false;  // it shares the main memory
  bool has_f16 = false, has_subgroups = false, has_timestamps = false, has_subgroup_matrices = false;
  bool has_timestamps_inside_passes = false;
  uint32_t subgroup_min = 0, subgroup_max = 0;
  uint64_t max_buffer_bytes = 0, max_binding_bytes = 0;
  uint32_t max_workgroup_bytes = 0, max_invocations = 0, max_workgroup_size_x = 0, max_storage_buffers = 0;
  std::vector<MatrixShape> matrix_shapes;  // shapes of the subgroup matrices that it can multiply
  std::vector<MemoryHeap> heaps;           // empty if Dawn does not tell
};

// Makes an instance with allow_unsafe_apis and timed waits. Throws KEXA_NO_DEVICE.
InstanceHandle create_instance();

struct FoundAdapter {
  AdapterHandle handle;
  AdapterFacts facts;
};

// `wanted` is one of:
// - part of an adapter's name or description, in upper or lower case;
// - "gpu", the best adapter that is not software;
// - either of these with ":N" behind it, to skip the first N adapters that fit;
// - "null", Dawn's Null backend, which checks everything and computes nothing.
// `vulkan_library` is as for open_vulkan(). Throws KEXA_NO_DEVICE, with the names of the adapters found.
FoundAdapter find_adapter(WGPUInstance instance, const std::string& wanted, const std::string& vulkan_library);

// The adapters that Dawn offers on this machine, best first, without the Null backend. load_dawn() must have returned.
std::vector<AdapterFacts> list_adapters(const std::string& vulkan_library);

// The optional features of WebGPU and Dawn that kexa uses and that the adapter has.
std::vector<WGPUFeatureName> wanted_features(WGPUAdapter adapter);

}  // namespace kexa
