// Finding functions of a loaded library, exported or not.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace kexa {

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
