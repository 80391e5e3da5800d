#include "kernels/source/kernel_source.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "kernel_texts.h"  // generated
#include "kernels/source/dots_layout.h"
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
  // These digits are exact and never an integer literal.
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

Prelude& Prelude::require(std::string_view feature) {
  enables_ += "requires " + std::string(feature) + ";\n";
  return *this;
}

Prelude& Prelude::dots(bool has_dots) {
  has_dots_ = has_dots;
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

Prelude& Prelude::weights(Type type) { return set("CHUNK_WORDS", chunk_words(type)).weights("", type); }

Prelude& Prelude::weights(const std::string& kind, Type type) {
  declare_once(kernel_source("add_product"));
  if (!is_quantized(type)) {
    if (type == Type::kF8E4m3) declare_once(kernel_source("e4m3"));
    return declare(replaced(kernel_source(type_name(type)), {{"@KIND", kind}}));
  }
  const QuantizedLayout layout = quantized_layout(type);
  const std::string weights = layout.has_min    ? "scale * vec4f(bytes) - bitcast<f32>(chunk.w)"
                              : layout.has_zero ? "scale * (vec4f(bytes) - bitcast<f32>(chunk.w))"
                                                : "scale * (vec4f(bytes) - " + std::to_string(layout.offset) + ".0)";
  declare(replaced(kernel_source("block_weights"), {{"@KIND", kind}, {"@WEIGHTS", weights}}));
  for (const std::string& table : quantized_tables(type, unit_order(type, has_dots_))) declare_once(table);
  return *this;
}

Prelude& Prelude::reads_blocks(std::string_view name, Type type, int columns, int parts) {
  declare_once(kernel_source("block_dots"));
  for (const std::string& table : quantized_tables(type, UnitOrder::kWhole)) declare_once(table);
  declare(block_text(type, columns, name));
  for (int part = 0; part < parts; ++part) {
    const std::string own = part_name(name, part);
    declare(block_reader_text(type, columns, name, own, own));
  }
  const std::string base(name);
  return over_parts(name, parts,
                    "load_" + base +
                        "(part: u32, at: ptr<function, array<u32, 4>>, block: u32,\n    blocks: ptr<function, array<" +
                        base + "_Block, 4>>)",
                    "for (var o = 0u; o < 4u; o++) { (*blocks)[o] = BUFFER_block((*at)[o], block); }");
}

Prelude& Prelude::sums_blocks(std::string_view name, Type type, int columns, int parts, int first_input) {
  return reads_blocks(name, type, columns, parts)
      .set(in_capitals(name) + "_INPUT", first_input)
      .include("sum_blocks", name);
}

Prelude& Prelude::prepares_dots(std::initializer_list<Type> types) {
  const bool has_grid = std::find(types.begin(), types.end(), Type::kIq2Xxs) != types.end();
  return declare(std::string("fn prepare_dots(thread: u32) {") +
                 (has_grid ? "\n  iq2_xxs_prepare(thread, THREADS);\n  workgroupBarrier();\n" : "") + "}\n");
}

Prelude& Prelude::cache_word(const KvLayout& kv) {
  if (!is_quantized(kv.type)) return include("cache_word_" + std::string(type_name(kv.type)));
  return set("CACHE_BLOCKS", kv.head_elements() / facts_of(kv.type).block_elements)
      .include(kv.type == Type::kQ8_0 ? "cache_q8" : "cache_q4");
}

Prelude& Prelude::cache_chunks(const KvLayout& kv) {
  alias("CacheWord", is_quantized(kv.type) ? "u32" : "vec4<u32>");
  if (is_quantized(kv.type)) set("CODE_WORDS", kv.head_elements() / (kv.type == Type::kQ8_0 ? 4 : 8));
  for (const char* buffer : {"keys", "values"}) include("cache_chunk_" + std::string(type_name(kv.type)), buffer);
  return *this;
}

}  // namespace kexa
