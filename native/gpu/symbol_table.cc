#include "gpu/symbol_table.h"

#include <dlfcn.h>
#ifdef __linux__
#include <elf.h>
#include <link.h>
#endif

#include <cstring>

#include "files/mapped_file.h"

namespace kexa {

SymbolTable::SymbolTable(const std::string& path, void* library) : library_(library) {
#ifdef __linux__
  link_map* map = nullptr;
  if (::dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) return;
  base_ = reinterpret_cast<char*>(map->l_addr);

  const MappedFile file(path);
  const auto bytes = file.bytes();
  const auto is_inside = [&](uint64_t offset, uint64_t size) {
    return offset <= bytes.size() && size <= bytes.size() - offset;
  };
  Elf64_Ehdr header;
  if (!is_inside(0, sizeof header)) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) return;
  const auto section = [&](uint64_t index) {
    Elf64_Shdr found{};
    const uint64_t at = header.e_shoff + index * sizeof found;
    if (index < header.e_shnum && is_inside(at, sizeof found)) std::memcpy(&found, bytes.data() + at, sizeof found);
    return is_inside(found.sh_offset, found.sh_size) ? found : Elf64_Shdr{};
  };
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr symbols = section(i);
    if (symbols.sh_type != SHT_SYMTAB) continue;
    const Elf64_Shdr names = section(symbols.sh_link);
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= symbols.sh_size; at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, bytes.data() + symbols.sh_offset + at, sizeof symbol);
      if (!symbol.st_value || symbol.st_name >= names.sh_size) continue;
      const char* name = reinterpret_cast<const char*>(bytes.data() + names.sh_offset + symbol.st_name);
      const std::string_view text(name, ::strnlen(name, names.sh_size - symbol.st_name));
      // Keeps only the few symbols that are ever asked for, out of tens of thousands.
      if (text.starts_with("wgpu") || text == kDawnSetProcs || text == kDawnGetProcs || text == kDawnEnumerateAdapters)
        local_.emplace(text, symbol.st_value);
    }
  }
#else
  (void)path;
#endif
}

void* SymbolTable::find(const char* name) const {
  if (void* exported = ::dlsym(library_, name)) return exported;
  const auto found = local_.find(name);
  return found == local_.end() ? nullptr : base_ + found->second;
}

}  // namespace kexa
