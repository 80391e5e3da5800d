// The types of blocks as structs (quant/block.h), and the way from a Type to its struct.
#pragma once

#include <string>

#include "base/error.h"
#include "quant/block.h"
#include "quant/types/all.h"  // generated: includes every file of the folder

namespace kexa {

// Returns visit(Block{}), where Block is the struct of a type of blocks. Throws KEXA_INTERNAL for a type without
// blocks.
template <typename Visit>
KEXA_INLINE auto with_block(Type type, const Visit& visit) {
  switch (type) {
#define KEXA_BLOCKS(Name, ...) \
  case Type::k##Name:          \
    return visit(types::Name{});
#include "base/types.inc"
    default:
      throw Error("KEXA_INTERNAL", "no blocks hold " + std::string(type_name(type)));
  }
}

}  // namespace kexa
