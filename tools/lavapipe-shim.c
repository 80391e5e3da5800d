// A Vulkan driver that is Mesa's lavapipe, but for two features it says it has. Dawn asks every adapter for dynamic
// indexing of arrays of sampled and of storage images; Debian 12's lavapipe has it not, and kexa's kernels use no
// images. The features are claimed to whoever asks and taken back before lavapipe itself would refuse them. Built by
// tools/check-f16.mjs.
#include <dlfcn.h>
#include <string.h>
#include <vulkan/vulkan.h>

#define EXPORTED __attribute__((visibility("default")))

static void* lavapipe;
static PFN_vkGetInstanceProcAddr lavapipe_address;
static VkInstance latest_instance;  // lavapipe finds its functions by any living instance

static void open_lavapipe(void) {
  if (lavapipe) return;
  lavapipe = dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_LOCAL);
  if (lavapipe) lavapipe_address = (PFN_vkGetInstanceProcAddr)dlsym(lavapipe, "vk_icdGetInstanceProcAddr");
}

static void claim(VkPhysicalDeviceFeatures* features, VkBool32 has) {
  features->shaderSampledImageArrayDynamicIndexing = has;
  features->shaderStorageImageArrayDynamicIndexing = has;
}

static VKAPI_ATTR void VKAPI_CALL get_features(VkPhysicalDevice device, VkPhysicalDeviceFeatures* features) {
  ((PFN_vkGetPhysicalDeviceFeatures)lavapipe_address(latest_instance, "vkGetPhysicalDeviceFeatures"))(device, features);
  claim(features, VK_TRUE);
}

static VKAPI_ATTR void VKAPI_CALL get_features_2(VkPhysicalDevice device, VkPhysicalDeviceFeatures2* features) {
  ((PFN_vkGetPhysicalDeviceFeatures2)lavapipe_address(latest_instance, "vkGetPhysicalDeviceFeatures2"))(device,
                                                                                                        features);
  claim(&features->features, VK_TRUE);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo* info,
                                                      const VkAllocationCallbacks* allocation, VkInstance* instance) {
  const PFN_vkCreateInstance create = (PFN_vkCreateInstance)lavapipe_address(NULL, "vkCreateInstance");
  const VkResult result = create(info, allocation, instance);
  if (result == VK_SUCCESS) latest_instance = *instance;
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo* info,
                                                    const VkAllocationCallbacks* allocation, VkDevice* device) {
  // The caller's own structures: lavapipe reads no other, and who asked for the features cannot see them again.
  if (info->pEnabledFeatures) claim((VkPhysicalDeviceFeatures*)info->pEnabledFeatures, VK_FALSE);
  for (VkBaseOutStructure* next = (VkBaseOutStructure*)info->pNext; next; next = next->pNext)
    if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2)
      claim(&((VkPhysicalDeviceFeatures2*)next)->features, VK_FALSE);
  return ((PFN_vkCreateDevice)lavapipe_address(latest_instance, "vkCreateDevice"))(physical, info, allocation, device);
}

static PFN_vkVoidFunction own_function(const char* name) {
  if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)create_instance;
  if (!strcmp(name, "vkCreateDevice")) return (PFN_vkVoidFunction)create_device;
  if (!strcmp(name, "vkGetPhysicalDeviceFeatures")) return (PFN_vkVoidFunction)get_features;
  if (!strcmp(name, "vkGetPhysicalDeviceFeatures2")) return (PFN_vkVoidFunction)get_features_2;
  if (!strcmp(name, "vkGetPhysicalDeviceFeatures2KHR")) return (PFN_vkVoidFunction)get_features_2;
  return NULL;
}

EXPORTED PFN_vkVoidFunction vk_icdGetInstanceProcAddr(VkInstance instance, const char* name) {
  open_lavapipe();
  if (!lavapipe_address) return NULL;
  const PFN_vkVoidFunction own = own_function(name);
  return own ? own : lavapipe_address(instance, name);
}

// Lets the loader speak to lavapipe in the version both know. The loader then asks for the function above alone.
EXPORTED VkResult vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t* version) {
  typedef VkResult (*Negotiate)(uint32_t*);
  open_lavapipe();
  if (!lavapipe) return VK_ERROR_INCOMPATIBLE_DRIVER;
  const Negotiate negotiate = (Negotiate)dlsym(lavapipe, "vk_icdNegotiateLoaderICDInterfaceVersion");
  return negotiate ? negotiate(version) : VK_SUCCESS;
}
