// Owns Dawn's objects.
#pragma once

#include <string>
#include <utility>

#include "gpu/dawn_library.h"

namespace kexa {

// Owns one Dawn object and releases it at the end. Move-only.
template <typename Raw, void (*DawnProcs::*Release)(Raw)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(Raw raw) : raw_(raw) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  operator Raw() const { return raw_; }
  void reset() {
    if (raw_) (dawn().*Release)(raw_);
    raw_ = nullptr;
  }

 private:
  Raw raw_ = nullptr;
};

using InstanceHandle = Handle<WGPUInstance, &DawnProcs::InstanceRelease>;
using AdapterHandle = Handle<WGPUAdapter, &DawnProcs::AdapterRelease>;
using DeviceHandle = Handle<WGPUDevice, &DawnProcs::DeviceRelease>;
using QueueHandle = Handle<WGPUQueue, &DawnProcs::QueueRelease>;
using BufferHandle = Handle<WGPUBuffer, &DawnProcs::BufferRelease>;
using BindGroup = Handle<WGPUBindGroup, &DawnProcs::BindGroupRelease>;
using BindGroupLayout = Handle<WGPUBindGroupLayout, &DawnProcs::BindGroupLayoutRelease>;
using PipelineLayout = Handle<WGPUPipelineLayout, &DawnProcs::PipelineLayoutRelease>;
using PipelineHandle = Handle<WGPUComputePipeline, &DawnProcs::ComputePipelineRelease>;
using ShaderModule = Handle<WGPUShaderModule, &DawnProcs::ShaderModuleRelease>;
using CommandEncoder = Handle<WGPUCommandEncoder, &DawnProcs::CommandEncoderRelease>;
using CommandBuffer = Handle<WGPUCommandBuffer, &DawnProcs::CommandBufferRelease>;
using ComputePass = Handle<WGPUComputePassEncoder, &DawnProcs::ComputePassEncoderRelease>;
using QuerySet = Handle<WGPUQuerySet, &DawnProcs::QuerySetRelease>;

inline std::string text(WGPUStringView view) {
  if (!view.data) return "";
  return view.length == WGPU_STRLEN ? std::string(view.data) : std::string(view.data, view.length);
}
// A view that is valid as long as the string is.
inline WGPUStringView view(const std::string& string) { return {string.data(), string.size()}; }

// Dawn's toggles of these names, to chain into a descriptor. `names` must outlive it.
template <size_t N>
WGPUDawnTogglesDescriptor enabled_toggles(const char* const (&names)[N]) {
  WGPUDawnTogglesDescriptor descriptor = WGPU_DAWN_TOGGLES_DESCRIPTOR_INIT;
  descriptor.enabledToggleCount = N;
  descriptor.enabledToggles = names;
  return descriptor;
}

}  // namespace kexa
