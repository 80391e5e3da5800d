#include "kernels/source/kernel_source.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "kernel_texts.h"  // generated
#include "kernels/source/fp8_layout.h"
#include "kernels/source/quantized_layout.h"
#include "kernels/source/weight_units.h"

namespace kexa {

std::string_view kernel_source(std::string_view name) {
  for (const auto& [known, text] : kKernelTexts)
    if (known == name) return text;
  throw Error("KEXA_INTERNAL", "no kernel is called " + std::string(name));
}

std::string part_name(std::string_view name, int part) {
  std::string text(name);
  if (part) text.append("_").append(std::to_string(part));
  return text;
}

std::string in_capitals(std::string_view name) {
  std::string upper(name);
  for (char& c : upper) c = c < 'a' ? c : char(c - 'a' + 'A');
  return upper;
}

std::string replaced(std::string_view text, std::initializer_list<std::pair<std::string_view, std::string>> by) {
  std::string to(text);
  for (const auto& [name, value] : by)
    for (size_t at = 0; (at = to.find(name, at)) != std::string::npos; at += value.size())
      to.replace(at, name.size(), value);
  return to;
}

Prelude& Prelude::add(std::string_view name, const std::string& value) {
  text_ += "const " + std::string(name) + " = " + value + ";\n";
  return *this;
}

Prelude& Prelude::set(std::string_view name, float value) {
  char digits[32];
  // Exact, and never an integer literal.
  std::snprintf(digits, sizeof digits, "%.9e", double(value));
  return add(name, "f32(" + std::string(digits) + "f)");
}

Prelude& Prelude::alias(std::string_view name, std::string_view type) {
  text_ += "alias " + std::string(name) + " = " + std::string(type) + ";\n";
  return *this;
}

Prelude& Prelude::elements(bool is_f16) {
  if (is_f16) enable("f16");
  text_ += is_f16 ? "alias E = f16;\nalias E4 = vec4<f16>;\n" : "alias E = f32;\nalias E4 = vec4<f32>;\n";
  return *this;
}

Prelude& Prelude::enable(std::string_view extension) {
  enables_ += "enable " + std::string(extension) + ";\n";
  return *this;
}

Prelude& Prelude::split(std::string_view name, int parts, int experts_per_part, int first_binding) {
  for (int part = 1; part < parts; ++part)
    text_ += "@group(0) @binding(" + std::to_string(first_binding + part - 1) + ") var<storage, read> " +
             part_name(name, part) + ": array<vec4<u32>>;\n";
  if (parts == 1)
    return declare(
        "fn part_of(expert: u32) -> u32 { return 0u; }\n"
        "fn place_in_part(expert: u32) -> u32 { return expert; }\n");
  return set("EXPERTS_PER_PART", experts_per_part)
      .declare(
          "fn part_of(expert: u32) -> u32 { return expert / EXPERTS_PER_PART; }\n"
          "fn place_in_part(expert: u32) -> u32 { return expert % EXPERTS_PER_PART; }\n");
}

Prelude& Prelude::over_parts(std::string_view name, int parts, std::string_view signature, std::string_view body) {
  const auto branch = [&](int part) { return "{ " + replaced(body, {{"BUFFER", part_name(name, part)}}) + " }\n"; };
  text_ += "fn " + std::string(signature) + " {\n";
  if (parts > 1) {
    text_ += "switch (part) {\n";
    for (int part = 1; part < parts; ++part) text_ += "case " + std::to_string(part) + "u: " + branch(part);
    text_ += "default: " + branch(0) + "}\n";
  } else {
    text_ += branch(0);
  }
  return declare("}\n");
}

Prelude& Prelude::include(std::string_view name) { return declare(kernel_source(name)); }

Prelude& Prelude::include(std::string_view name, std::string_view as) {
  return declare(replaced(kernel_source(name), {{"@NAME", std::string(as)}, {"@UPPER", in_capitals(as)}}));
}

Prelude& Prelude::declare(std::string_view text) {
  text_ += text;
  return *this;
}

Prelude& Prelude::declare_once(std::string_view text) {
  return text_.find(text) == std::string::npos ? declare(text) : *this;
}

// Said in multiply_add(), a compiler has no choice of how to round: kernels for other numbers of rows give the same
// bits.
constexpr std::string_view kAddProduct =
    R"(fn add_product(sum: f32, w_low: vec4f, w_high: vec4f, a: vec4f, b: vec4f) -> f32 {
  let first = multiply_add(w_low.w, a.w, multiply_add(w_low.z, a.z, multiply_add(w_low.y, a.y, multiply_add(w_low.x, a.x, sum))));
  return multiply_add(w_high.w, b.w, multiply_add(w_high.z, b.z, multiply_add(w_high.y, b.y, multiply_add(w_high.x, b.x, first))));
}
)";

Prelude& Prelude::weights(Type type) { return set("CHUNK_WORDS", chunk_words(type)).weights("", type); }

Prelude& Prelude::weights(const std::string& kind, Type type) {
  declare_once(kAddProduct);
  const std::string low = "fn " + kind + "low(chunk: vec4u) -> vec4f { return ";
  const std::string high = "fn " + kind + "high(chunk: vec4u) -> vec4f { return ";
  switch (type) {
    case Type::kBf16:
      declare_once(
          "fn bf16_pairs(a: u32, b: u32) -> vec4f { "
          "return bitcast<vec4f>(vec4u(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u)); }\n");
      return declare(low + "bf16_pairs(chunk.x, chunk.y); }\n").declare(high + "bf16_pairs(chunk.z, chunk.w); }\n");
    case Type::kF16:
      return declare(low + "vec4f(unpack2x16float(chunk.x), unpack2x16float(chunk.y)); }\n")
          .declare(high + "vec4f(unpack2x16float(chunk.z), unpack2x16float(chunk.w)); }\n");
    case Type::kF32:
      return declare(low + "bitcast<vec4f>(chunk); }\n").declare(high + "bitcast<vec4f>(chunk); }\n");
    case Type::kF8E4m3:
      declare_once(fp8_decoder());
      return declare(low + "bitcast<f32>(chunk.z) * e4m3(chunk.x); }\n")
          .declare(high + "bitcast<f32>(chunk.z) * e4m3(chunk.y); }\n");
    default:
      break;
  }
  // What quantized_layout() says of eight weights: bytes in x and y, scale, minimum.
  const QuantizedLayout& layout = quantized_layout(type);
  declare("fn " + kind + R"(decode(chunk: vec4u, codes: u32) -> vec4f {
  let bytes = (vec4u(codes) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
)");
  const std::string offset = std::to_string(layout.offset) + ".0";
  declare(layout.has_min ? "  return bitcast<f32>(chunk.z) * vec4f(bytes) - bitcast<f32>(chunk.w);\n}\n"
                         : "  return bitcast<f32>(chunk.z) * (vec4f(bytes) - " + offset + ");\n}\n");
  declare(low + kind + "decode(chunk, chunk.x); }\n").declare(high + kind + "decode(chunk, chunk.y); }\n");
  for (const std::string& table : quantized_tables(type)) declare_once(table);
  return *this;
}

Prelude& Prelude::cache_word(const KvLayout& kv) {
  switch (kv.type) {
    case Type::kF32:
      return declare("fn cache_word(i: u32) -> u32 { return bitcast<u32>(element(i)); }\n");
    case Type::kF16:
      return declare(
          "fn cache_word(i: u32) -> u32 { return pack2x16float(vec2f(element(i * 2u), element(i * 2u + 1u))); }\n");
    case Type::kBf16:
      return declare(R"(fn to_bf16(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
fn cache_word(i: u32) -> u32 { return to_bf16(element(i * 2u)) | (to_bf16(element(i * 2u + 1u)) << 16u); }
)");
    default:
      return set("CACHE_BLOCKS", kv.head_elements() / facts_of(kv.type).block_elements)
          .include(kv.type == Type::kQ8_0 ? "cache_q8" : "cache_q4");
  }
}

Prelude& Prelude::cache_chunks(const KvLayout& kv) {
  std::string_view body;
  switch (kv.type) {
    case Type::kF32:
      alias("CacheWord", "vec4<u32>");
      body =
          "return array(bitcast<vec4f>(BUFFER[head + chunk * 2u]), bitcast<vec4f>(BUFFER[head + chunk * 2u + 1u]));\n";
      break;
    case Type::kF16:
      alias("CacheWord", "vec4<u32>");
      body = R"(let word = BUFFER[head + chunk];
return array(vec4f(unpack2x16float(word.x), unpack2x16float(word.y)),
             vec4f(unpack2x16float(word.z), unpack2x16float(word.w)));
)";
      break;
    case Type::kBf16:
      alias("CacheWord", "vec4<u32>").declare(R"(fn from_bf16(a: u32, b: u32) -> vec4f {
  return bitcast<vec4f>(vec4u(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
}
)");
      body = "let word = BUFFER[head + chunk];\nreturn array(from_bf16(word.x, word.y), from_bf16(word.z, word.w));\n";
      break;
    case Type::kQ8_0:
      // As cache_q8.wgsl writes it. A scale times a code is exact.
      alias("CacheWord", "u32").set("CODE_WORDS", kv.head_elements() / 4).declare(R"(fn codes_of(word: u32) -> vec4f {
  return vec4f(vec4i(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
)");
      body = R"(let scale = unpack2x16float(BUFFER[head + CODE_WORDS + chunk / 8u])[chunk / 4u % 2u];
return array(scale * codes_of(BUFFER[head + chunk * 2u]), scale * codes_of(BUFFER[head + chunk * 2u + 1u]));
)";
      break;
    default:
      // As cache_q4.wgsl writes it. In multiply_add4(), so that every kernel rounds alike.
      alias("CacheWord", "u32").set("CODE_WORDS", kv.head_elements() / 8).declare(R"(fn codes_of(word: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u));
}
)");
      body = R"(let range = unpack2x16float(BUFFER[head + CODE_WORDS + chunk / 4u]);
let word = BUFFER[head + chunk];
return array(multiply_add4(vec4f(range.x), codes_of(word), vec4f(range.y)),
             multiply_add4(vec4f(range.x), codes_of(word >> 16u), vec4f(range.y)));
)";
      break;
  }
  for (const char* buffer : {"keys", "values"})
    over_parts(buffer, 1, std::string(buffer) + "_chunk(head: u32, chunk: u32) -> array<vec4f, 2>", body);
  return *this;
}

}  // namespace kexa
