#include "gpu/open_device.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "gpu/callback.h"

namespace kexa {
namespace {

// A GPU's step ends long before this. A CPU that plays a GPU may get little time from its machine.
constexpr uint64_t kWaitSeconds = 60, kSoftwareWaitSeconds = 600;
constexpr const char* kFastToggles[] = {"skip_validation", "disable_robustness", "disable_workgroup_init",
                                        "disable_polyfills_on_integer_div_and_mod"};
// Kernels write workgroup memory before they read it. Clearing it can take SwiftShader's compiler many seconds.
constexpr const char* kCheckedToggles[] = {"disable_workgroup_init"};
// Fresh buffers are written before they are read, timestamps serve only measurements, and Tint's SPIR-V is trusted.
constexpr const char* kUnwantedToggles[] = {"lazy_clear_resource_on_first_use", "timestamp_quantization",
                                            "enable_spirv_validation"};

// Devices that were kept and that nobody uses now.
struct KeptDevices {
  std::mutex mutex;
  std::vector<std::unique_ptr<OpenDevice>> devices;
};
// Never destroyed: at the end of the process, Dawn's library may be gone before this one's variables are.
KeptDevices& kept_devices() {
  static auto* kept = new KeptDevices;
  return *kept;
}

}  // namespace

OpenDevicePointer open_device(const GpuOptions& options) {
  if (options.keeps_device) {
    KeptDevices& kept = kept_devices();
    const std::lock_guard lock(kept.mutex);
    const auto found = std::find_if(kept.devices.begin(), kept.devices.end(),
                                    [&](const auto& one) { return one->options == options; });
    if (found != kept.devices.end()) {
      OpenDevicePointer device(found->release());
      kept.devices.erase(found);
      return device;
    }
  }
  return OpenDevicePointer(new OpenDevice(options));
}

void CloseDevice::operator()(OpenDevice* closed) const {
  std::unique_ptr<OpenDevice> device(closed);
  if (!device->is_kept || device->has_fault()) return;
  KeptDevices& kept = kept_devices();
  const std::lock_guard lock(kept.mutex);
  kept.devices.push_back(std::move(device));
}

void close_kept_devices() {
  KeptDevices& kept = kept_devices();
  const std::lock_guard lock(kept.mutex);
  kept.devices.clear();
}

OpenDevice::OpenDevice(const GpuOptions& wanted)
    : blobs_(wanted.blob_folder), options(wanted), instance(create_instance()) {
  FoundAdapter found = find_adapter(instance, options.wanted, options.vulkan_library);
  const AdapterHandle adapter = std::move(found.handle);
  facts = std::move(found.facts);

  WGPULimits limits = WGPU_LIMITS_INIT;
  dawn().AdapterGetLimits(adapter, &limits);
  const std::vector<WGPUFeatureName> features = wanted_features(adapter);
  auto wanted_toggles = options.is_checked ? enabled_toggles(kCheckedToggles) : enabled_toggles(kFastToggles);
  wanted_toggles.disabledToggleCount = std::size(kUnwantedToggles);
  wanted_toggles.disabledToggles = kUnwantedToggles;
  WGPUDeviceDescriptor descriptor = WGPU_DEVICE_DESCRIPTOR_INIT;
  const std::string label = "kexa";
  WGPUDawnCacheDeviceDescriptor cache = WGPU_DAWN_CACHE_DEVICE_DESCRIPTOR_INIT;
  // The key names Dawn's build, because the npm build of Dawn puts no version into its keys.
  const std::string isolation = options.dawn_identity + "\n" + facts.vendor + "\n" + facts.architecture + "\n" +
                                facts.device + "\n" + facts.description;
  cache.isolationKey = view(isolation);
  cache.dawnLoadCacheDataCallbackInfo.userdata1 = &blobs_;
  cache.dawnLoadCacheDataCallbackInfo.callback = [](size_t key_size, const uint8_t* key, size_t size, uint8_t* value,
                                                    void* blobs, void*) {
    return static_cast<BlobCache*>(blobs)->load({key, key_size}, {value, value ? size : 0});
  };
  cache.dawnStoreCacheDataCallbackInfo.userdata1 = &blobs_;
  cache.dawnStoreCacheDataCallbackInfo.callback = [](size_t key_size, const uint8_t* key, size_t size,
                                                     const uint8_t* value, void* blobs, void*) {
    static_cast<BlobCache*>(blobs)->store({key, key_size}, {value, size});
  };
  if (!options.blob_folder.empty()) wanted_toggles.chain.next = &cache.chain;
  descriptor.nextInChain = &wanted_toggles.chain;
  descriptor.label = view(label);
  descriptor.requiredFeatureCount = features.size();
  descriptor.requiredFeatures = features.data();
  descriptor.requiredLimits = &limits;
  descriptor.deviceLostCallbackInfo.mode = WGPUCallbackMode_AllowProcessEvents;
  descriptor.deviceLostCallbackInfo.userdata1 = &faults_;
  descriptor.deviceLostCallbackInfo.callback = [](const WGPUDevice*, WGPUDeviceLostReason reason,
                                                  WGPUStringView message, void* to, void*) {
    if (reason != WGPUDeviceLostReason_Destroyed && reason != WGPUDeviceLostReason_CallbackCancelled)
      static_cast<Faults*>(to)->lost = text(message);
  };
  descriptor.uncapturedErrorCallbackInfo.userdata1 = &faults_;
  descriptor.uncapturedErrorCallbackInfo.callback = [](const WGPUDevice*, WGPUErrorType, WGPUStringView message,
                                                       void* to, void*) {
    auto& error = static_cast<Faults*>(to)->error;
    if (error.empty()) error = text(message);
  };
  struct Answer {
    DeviceHandle device;
    std::string message;
  };
  const auto answer = std::make_shared<Answer>();
  WGPURequestDeviceCallbackInfo callback = WGPU_REQUEST_DEVICE_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = lend(answer);
  callback.callback = [](WGPURequestDeviceStatus, WGPUDevice device, WGPUStringView message, void* to, void*) {
    *take_back<Answer>(to) = {DeviceHandle(device), text(message)};
  };
  wait(dawn().AdapterRequestDevice(adapter, &descriptor, callback));
  if (!answer->device) throw Error("KEXA_NO_DEVICE", "Dawn gave no device on " + facts.device + ": " + answer->message);
  device = std::move(answer->device);
  check_granted(features, limits);
  queue = QueueHandle(dawn().DeviceGetQueue(device));
}

// Checks that the device has the features and limits that were asked for by this header's numbers. The known library
// always grants them.
void OpenDevice::check_granted(std::span<const WGPUFeatureName> features, const WGPULimits& wanted) {
  const bool has_features = std::all_of(features.begin(), features.end(), [&](WGPUFeatureName feature) {
    return bool(dawn().DeviceHasFeature(device, feature));
  });
  WGPULimits limits = WGPU_LIMITS_INIT;
  dawn().DeviceGetLimits(device, &limits);
  const bool has_limits = limits.maxBufferSize == wanted.maxBufferSize &&
                          limits.maxStorageBufferBindingSize == wanted.maxStorageBufferBindingSize &&
                          limits.maxStorageBuffersPerShaderStage == wanted.maxStorageBuffersPerShaderStage &&
                          limits.maxComputeWorkgroupStorageSize == wanted.maxComputeWorkgroupStorageSize &&
                          limits.maxComputeInvocationsPerWorkgroup == wanted.maxComputeInvocationsPerWorkgroup;
  if (!has_features || !has_limits)
    throw Error("KEXA_NO_DEVICE", std::string("Dawn's library cannot be used: it was made for another webgpu.h (") +
                                      (has_features ? "limits" : "features") + " do not read back)");
}

OpenDevice::~OpenDevice() {
  if (device) dawn().DeviceDestroy(device);
  if (instance) dawn().InstanceProcessEvents(instance);
}

void OpenDevice::wait(WGPUFuture future) {
  WGPUFutureWaitInfo wait = WGPU_FUTURE_WAIT_INFO_INIT;
  wait.future = future;
  const uint64_t seconds = facts.is_software ? kSoftwareWaitSeconds : kWaitSeconds;
  const WGPUWaitStatus status = dawn().InstanceWaitAny(instance, 1, &wait, seconds * 1'000'000'000);
  if (status == WGPUWaitStatus_Success) return;
  // A device that did not answer is not asked again, because its buffers stay unmapped.
  if (faults_.lost.empty()) faults_.lost = "it did not answer within " + std::to_string(seconds) + " s";
  check();
}

void OpenDevice::check() {
  dawn().InstanceProcessEvents(instance);
  if (!faults_.lost.empty()) throw Error("KEXA_DEVICE_LOST", "the GPU was lost: " + faults_.lost);
  if (!faults_.error.empty()) throw Error("KEXA_INTERNAL", "Dawn: " + std::exchange(faults_.error, {}));
}

bool OpenDevice::has_fault() {
  dawn().InstanceProcessEvents(instance);
  return !faults_.lost.empty() || !faults_.error.empty();
}

}  // namespace kexa
