// A vector of 16 floats, in as many registers as the instruction set needs for it. Included inside a namespace that has
// defined kWidth, the floats of one register. Each namespace is compiled for instruction sets of its own and has its
// own copy of the class, so that the linker never takes one set's code for another's. So there is no include guard.

constexpr int kParts = kLanes / kWidth;

// One register.
typedef float Part __attribute__((vector_size(kWidth * 4)));

struct F32x16 {
  Part part[kParts];

  KEXA_INLINE F32x16& operator*=(float by) {
    for (Part& p : part) p *= by;
    return *this;
  }
  KEXA_INLINE float operator[](int lane) const { return part[lane / kWidth][lane % kWidth]; }
};

// part[i] = value(i).
template <typename Value>
KEXA_INLINE F32x16 by_parts(const Value& value) {
  F32x16 lanes;
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) lanes.part[i] = value(i);
  return lanes;
}
KEXA_INLINE F32x16 operator*(const F32x16& a, float b) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return a.part[i] * b; });
}
KEXA_INLINE F32x16 operator+(const F32x16& a, float b) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return a.part[i] + b; });
}
KEXA_INLINE F32x16 operator-(const F32x16& a, float b) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return a.part[i] - b; });
}
KEXA_INLINE F32x16 operator*(const F32x16& a, const F32x16& b) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return a.part[i] * b.part[i]; });
}
KEXA_INLINE F32x16 operator+(const F32x16& a, const F32x16& b) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return a.part[i] + b.part[i]; });
}
KEXA_INLINE F32x16 operator-(const F32x16& a, const F32x16& b) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return a.part[i] - b.part[i]; });
}
KEXA_INLINE F32x16 operator-(const F32x16& a) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return -a.part[i]; });
}
KEXA_INLINE void operator+=(F32x16& a, const F32x16& b) { a = a + b; }

KEXA_INLINE void load_part(Part& part, const float* from) { std::memcpy(&part, from, sizeof part); }
KEXA_INLINE void store_part(float* to, const Part& part) { std::memcpy(to, &part, sizeof part); }
// Loads register by register. GCC would copy the whole struct through memory.
KEXA_INLINE void load(F32x16& lanes, const float* from) {
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) load_part(lanes.part[i], from + i * kWidth);
}
KEXA_INLINE void store(float* to, const F32x16& lanes) {
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) store_part(to + i * kWidth, lanes.part[i]);
}
