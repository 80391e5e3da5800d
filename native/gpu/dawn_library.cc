#include "gpu/dawn_library.h"

#include <dlfcn.h>

#include <mutex>

#include "base/error.h"
#include "gpu/symbol_table.h"

namespace kexa {
namespace {

DawnProcs procs;
EnumerateAdapters enumerate_adapters = nullptr;
std::string loaded_path;
std::mutex loading;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error("KEXA_NO_DEVICE", "Dawn's library cannot be used: " + why + "\n  in " + path);
}

}  // namespace

std::string open_vulkan([[maybe_unused]] const std::string& path) {
#ifdef __linux__
  // The library is opened globally and never closed: Dawn looks for it by its soname, and then finds this one.
  if (!::dlopen(path.empty() ? "libvulkan.so.1" : path.c_str(), RTLD_NOW | RTLD_GLOBAL))
    return std::string("no Vulkan loader: ") + ::dlerror();
#endif
  return "";
}

void load_dawn(const std::string& path) {
  std::lock_guard lock(loading);
  if (!loaded_path.empty()) {
    if (loaded_path != path) refuse(path, "this process has already loaded " + loaded_path);
    return;
  }
#ifdef KEXA_LINKED_DAWN
#define KEXA_DAWN_LINKED(name) procs.name = &wgpu##name;
  KEXA_DAWN_PROCS(KEXA_DAWN_LINKED)
#undef KEXA_DAWN_LINKED
#else
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) refuse(path, ::dlerror());

  const SymbolTable symbols(path, library);
  const auto find = [&](const char* name) {
    void* address = symbols.find(name);
    if (!address) refuse(path, std::string("it has no function ") + name);
    return address;
  };
  // The C API of dawn.node goes through a table that only its JavaScript side fills. This fills it in the same way.
  if (!::dlsym(library, "wgpuCreateInstance")) {
    using GetProcs = const void* (*)();
    using SetProcs = void (*)(const void*);
    reinterpret_cast<SetProcs>(find(kDawnSetProcs))(reinterpret_cast<GetProcs>(find(kDawnGetProcs))());
  }
  enumerate_adapters = reinterpret_cast<EnumerateAdapters>(symbols.find(kDawnEnumerateAdapters));
#define KEXA_DAWN_FIND(name) procs.name = reinterpret_cast<WGPUProc##name>(find("wgpu" #name));
  KEXA_DAWN_PROCS(KEXA_DAWN_FIND)
#undef KEXA_DAWN_FIND
#endif
  loaded_path = path;
}

const DawnProcs& dawn() { return procs; }

EnumerateAdapters dawn_enumerate_adapters() { return enumerate_adapters; }

}  // namespace kexa
