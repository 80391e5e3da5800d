// The types whose elements stand alone, read like blocks of 16, and the choice of a type's lanes (cpu/lanes.h).
#pragma once

#include "cpu/lanes/all.h"  // generated: includes every file of the folder
#include "cpu/panel.h"

namespace kexa::KEXA_SET {

// Types without blocks, read 16 elements at a time as if in blocks of 16.
struct F32Lanes {
  static constexpr int kElements = kLanes, kBytes = kLanes * 4;
  KEXA_INLINE void prepare(const uint8_t*) {}
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int) const {
    kexa::KEXA_SET::load(lanes, reinterpret_cast<const float*>(block));
  }
};
struct F16Lanes {
  static constexpr int kElements = kLanes, kBytes = kLanes * 2;
  KEXA_INLINE void prepare(const uint8_t*) {}
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int) const {
    load_f16(lanes, reinterpret_cast<const uint16_t*>(block));
  }
};
struct Bf16Lanes {
  static constexpr int kElements = kLanes, kBytes = kLanes * 2;
  KEXA_INLINE void prepare(const uint8_t*) {}
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* block, int) const {
    load_bf16(lanes, reinterpret_cast<const uint16_t*>(block));
  }
};
// The values without their scale.
struct F8E4m3Lanes {
  static constexpr int kElements = kLanes, kBytes = kLanes;
  KEXA_INLINE void load(F32x16& lanes, const uint8_t* codes, int) const { load_e4m3(lanes, codes); }
};

// Calls visit(Lanes{}) with the lanes of a type. Does nothing for FP8, whose scales lie apart and which has loops of
// its own.
template <typename Visit>
KEXA_INLINE void with_lanes(Type type, const Visit& visit) {
  switch (type) {
#define KEXA_ELEMENTS(Name, ...)                                        \
  case Type::k##Name:                                                   \
    if constexpr (Type::k##Name != Type::kF8E4m3) visit(Name##Lanes{}); \
    return;
#define KEXA_BLOCKS(Name, ...) \
  case Type::k##Name:          \
    return visit(Name##Lanes{});
#include "base/types.inc"
  }
}

// Reads the last n < 16 elements of a row of a type without blocks, then zeros.
template <typename Lanes>
KEXA_INLINE void load_end(F32x16& values, const Lanes& lanes, const uint8_t* from, int n) {
  uint8_t some[Lanes::kBytes] = {};
  if constexpr (Lanes::kElements == kLanes) {
    std::memcpy(some, from, size_t(n) * (Lanes::kBytes / kLanes));
    lanes.load(values, some, 0);
  } else {
    values = F32x16{};  // types with blocks have no such end
  }
}

}  // namespace kexa::KEXA_SET
