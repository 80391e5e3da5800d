// Finds functions of a loaded library, exported or not.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace kexa {

// The functions of Dawn's C++ that kexa calls if the library has them.
constexpr const char* kDawnSetProcs = "dawnProcSetProcs";
constexpr const char* kDawnGetProcs = "_ZN4dawn6native8GetProcsEv";
constexpr const char* kDawnEnumerateAdapters =
    "_ZNK4dawn6native8Instance17EnumerateAdaptersEPK25WGPURequestAdapterOptions";

class SymbolTable {
 public:
  // `library` is the open handle of `path`. The file's own symbol table, if it has one, gives the symbols that dlsym
  // does not.
  SymbolTable(const std::string& path, void* library);

  // The symbol's address. Null if the library does not have it.
  void* find(const char* name) const;

 private:
  void* library_;
  char* base_ = nullptr;
  std::unordered_map<std::string, uint64_t> local_;  // offsets from base_
};

}  // namespace kexa
