// Finding functions of a loaded library, exported or not.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace kexa {

// Of Dawn's C++, what kexa calls where it is there.
constexpr const char* kDawnSetProcs = "dawnProcSetProcs";
constexpr const char* kDawnGetProcs = "_ZN4dawn6native8GetProcsEv";
constexpr const char* kDawnEnumerateAdapters =
    "_ZNK4dawn6native8Instance17EnumerateAdaptersEPK25WGPURequestAdapterOptions";

class SymbolTable {
 public:
  // `library` is `path`, opened. Reads the file's own symbol table, where there is one, for what dlsym does not give.
  SymbolTable(const std::string& path, void* library);

  // The address, or null.
  void* find(const char* name) const;

 private:
  void* library_;
  char* base_ = nullptr;
  std::unordered_map<std::string, uint64_t> local_;  // offsets from base_
};

}  // namespace kexa
