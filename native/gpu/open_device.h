// An open device of Dawn with all that belongs to it, apart from what one model asks of it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "gpu/adapter.h"
#include "gpu/blob_cache.h"

namespace kexa {

struct GpuOptions {
  std::string wanted;          // as find_adapter() takes it
  bool is_checked = false;     // keeps Dawn's validation and bounds checks
  std::string vulkan_library;  // as open_vulkan() takes it
  std::string dawn_identity;   // differs for each build of Dawn, which cannot use kernels that another build compiled
  std::string blob_folder;     // where compiled kernels are kept; empty: nowhere
  bool keeps_device = false;   // leaves the device open for the next one that is opened with the same options

  bool operator==(const GpuOptions&) const = default;
};

class OpenDevice {
 public:
  // Throws KEXA_NO_DEVICE, as find_adapter() does.
  explicit OpenDevice(const GpuOptions& wanted);
  ~OpenDevice();
  OpenDevice(const OpenDevice&) = delete;

  // Waits. Throws KEXA_DEVICE_LOST after a minute. The callback still runs later, so the state that it writes to must
  // be lent to it.
  void wait(WGPUFuture future);
  // Throws the fault that has happened since the last check, if any.
  void check();
  // Takes note of the events so far. Returns whether the device was lost, or has a fault that nobody checked for.
  bool has_fault();

 private:
  struct Faults {
    std::string lost, error;
  };
  void check_granted(std::span<const WGPUFeatureName> features, const WGPULimits& wanted);

  // Both outlive the device, whose callbacks use them.
  Faults faults_;
  BlobCache blobs_;

 public:
  const GpuOptions options;
  bool is_kept = options.keeps_device;  // whether closing leaves the device open
  const InstanceHandle instance;
  AdapterFacts facts;
  DeviceHandle device;
  QueueHandle queue;
  // Kernels that were compiled on this device, by name and WGSL. Empty unless the device will be kept.
  std::unordered_map<std::string, std::shared_ptr<const PipelineHandle>> pipelines;
};

// Closes a device. One that is_kept and has no fault stays open until close_kept_devices().
struct CloseDevice {
  void operator()(OpenDevice* device) const;
};
using OpenDevicePointer = std::unique_ptr<OpenDevice, CloseDevice>;

// Opens a device, or takes one that was kept. Throws KEXA_NO_DEVICE, as find_adapter() does.
OpenDevicePointer open_device(const GpuOptions& options);

// Closes the kept devices that nobody uses. To be called before the process exits: a driver that is taken down while a
// device is open may crash.
void close_kept_devices();

}  // namespace kexa
