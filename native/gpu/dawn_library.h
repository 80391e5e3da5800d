// Loads Dawn's C API from a shared library while the program runs.
#pragma once

#include <webgpu/webgpu.h>

#include <string>
#include <vector>

namespace kexa {

// The functions that kexa calls. Their types come from webgpu.h, their addresses from the library.
// clang-format off
#define KEXA_DAWN_PROCS(X) \
  X(AdapterGetInfo) X(AdapterGetLimits) X(AdapterHasFeature) X(AdapterInfoFreeMembers) \
  X(AdapterPropertiesMemoryHeapsFreeMembers) X(AdapterPropertiesSubgroupMatrixConfigsFreeMembers) \
  X(AdapterRelease) X(AdapterRequestDevice) X(BindGroupLayoutRelease) X(BindGroupRelease) \
  X(BufferGetConstMappedRange) X(BufferGetMappedRange) X(BufferMapAsync) X(BufferRelease) X(BufferUnmap) \
  X(CommandBufferRelease) X(CommandEncoderBeginComputePass) X(CommandEncoderCopyBufferToBuffer) \
  X(CommandEncoderFinish) X(CommandEncoderRelease) X(CommandEncoderResolveQuerySet) \
  X(ComputePassEncoderDispatchWorkgroups) X(ComputePassEncoderEnd) X(ComputePassEncoderRelease) \
  X(ComputePassEncoderSetBindGroup) X(ComputePassEncoderSetPipeline) X(ComputePassEncoderWriteTimestamp) \
  X(ComputePipelineRelease) X(CreateInstance) X(DeviceCreateBindGroup) X(DeviceCreateBindGroupLayout) \
  X(DeviceCreateBuffer) X(DeviceCreateCommandEncoder) X(DeviceCreateComputePipeline) \
  X(DeviceCreatePipelineLayout) X(DeviceCreateQuerySet) X(DeviceCreateShaderModule) X(DeviceDestroy) \
  X(DeviceForceLoss) X(DeviceGetLimits) X(DeviceGetQueue) X(DeviceHasFeature) X(DevicePopErrorScope) \
  X(DevicePushErrorScope) X(DeviceRelease) X(HasInstanceFeature) X(InstanceProcessEvents) X(InstanceRelease) \
  X(InstanceRequestAdapter) X(InstanceWaitAny) X(PipelineLayoutRelease) X(QuerySetRelease) X(QueueRelease) \
  X(QueueSubmit) X(QueueWriteBuffer) X(ShaderModuleRelease)
// clang-format on

struct DawnProcs {
#define KEXA_DAWN_MEMBER(name) WGPUProc##name name;
  KEXA_DAWN_PROCS(KEXA_DAWN_MEMBER)
#undef KEXA_DAWN_MEMBER
};

// Loads the library once for the process. It is either one that exports the C API (a Dawn release build), or npm
// `webgpu`'s dawn.node, which has it as local symbols. Any thread may call it. Throws KEXA_NO_DEVICE, saying what the
// library lacks.
void load_dawn(const std::string& path);

// Opens the Vulkan loader at `path`, or the system's libvulkan.so.1 if that is empty. Without a loader Dawn has nothing
// to run on, and says so on stderr again and again. Returns what is wrong. Returns nothing where all is well, or where
// Dawn does not use Vulkan.
std::string open_vulkan(const std::string& path);

// dawn::native::Instance::EnumerateAdapters: lists every adapter, with a reference to each that the caller releases.
// Null in a library without that symbol; the C API alone gives only the one adapter that fits a request best. In Dawn's
// C++ an Instance is a pointer to the object behind WGPUInstance, and an Adapter is one to the object behind
// WGPUAdapter.
using EnumerateAdapters = std::vector<WGPUAdapter> (*)(const WGPUInstance*, const WGPURequestAdapterOptions*);
EnumerateAdapters dawn_enumerate_adapters();

// The functions of the loaded library. load_dawn() must have returned.
const DawnProcs& dawn();

}  // namespace kexa
