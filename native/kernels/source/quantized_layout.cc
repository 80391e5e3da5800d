#include "kernels/source/quantized_layout.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/error.h"
#include "kernels/source/kernel_source.h"
#include "plan/gpu_plan.h"
#include "quant/block_types.h"
#include "quant/codebooks.h"

namespace kexa {
namespace {

template <size_t count, typename Value>
uint32_t word_of(const std::array<Value, count>& values, size_t first, int add = 0) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4 && first + i < count; ++i) word |= uint32_t(uint8_t(values[first + i] + add)) << (i * 8);
  return word;
}

template <typename Value>
std::string values_function(const std::string& name, const std::array<Value, 16>& values) {
  std::string text = "fn " + name + "(codes: u32) -> u32 {\n  var values = vec4u(";
  for (size_t i = 0; i < 16; i += 4) text += std::to_string(word_of(values, i, 128)) + (i < 12 ? "u, " : "u);\n");
  return text + R"(  var bytes = 0u;
  for (var i = 0u; i < 4u; i++) {
    let code = (codes >> (i * 8u)) & 15u;
    bytes |= ((values[code / 4u] >> (code % 4u * 8u)) & 0xffu) << (i * 8u);
  }
  return bytes;
}
)";
}

// NAME_entry(), which returns an entry of NAME_GRID.
template <size_t count>
std::string grid(const std::string& name, const std::array<uint16_t, count>& entries) {
  const std::string table = name + "_GRID";
  std::string text = "const " + table + " = array<u32, " + std::to_string(count / 2) + ">(";
  for (size_t i = 0; i < count; i += 2)
    text += std::to_string(entries[i] | uint32_t{entries[i + 1]} << 16) + (i + 2 < count ? "u," : "u);\n");
  return text + "fn " + name + "_entry(index: u32) -> u32 { return (" + table +
         "[index / 2u] >> (index % 2u * 16u)) & 0xffffu; }\n";
}

// Returns what stands between two texts in a file of kernels/source/types.
std::string_view between(std::string_view file, std::string_view before, std::string_view after) {
  const size_t start = file.find(before), from = start + before.size(), end = file.find(after, from);
  if (start == std::string_view::npos || end == std::string_view::npos)
    throw Error("KEXA_INTERNAL", "a type's WGSL file lacks '" + std::string(before) + "'");
  return file.substr(from, end - from);
}

// Returns the type's WGSL file.
template <typename Block>
std::string_view text_of(UnitOrder order) {
  if (order == UnitOrder::kWhole) return kernel_source(std::string(type_name(Block::kType)) + "_dots");
  constexpr std::string_view kText = Block::kGpu.text;
  return kernel_source(kText.empty() ? type_name(Block::kType) : kText);
}

// Adds the tails that a unit reads to its members, and `tail`, that of chunk `k`, to the code. `first` is where the
// tails begin (bytes of the row); a unit reads `tails` tails of `tail_bytes` bytes, the `i`-th such group.
void add_tails(UnitText& text, int first, int tails, int tail_bytes, const std::string& i, const std::string& at) {
  const auto number = [](int n) { return std::to_string(n) + "u"; };
  const auto load = [&](const std::string& fields, const std::string& value) {
    text.fields += ", tails: " + fields, text.load += ", " + value;
  };
  const int bytes = tails * tail_bytes;
  if (bytes == 32) {
    const std::string of_first = number(first / 16) + " + " + i + " * 2u";
    load("array<vec4u, 2>", "array(quad(" + of_first + "), quad(" + of_first + " + 1u))");
  } else if (bytes >= 4) {
    const std::string reader = bytes == 16 ? "quad" : bytes == 8 ? "pair" : "word";
    load(bytes == 4 ? "u32" : "vec" + std::to_string(bytes / 4) + "u",
         reader + "(" + number(first / bytes) + " + " + i + ")");
  } else {
    const std::string of_word = number(4 / bytes);
    load("u32", "word(" + number(first / 4) + " + " + i + " / " + of_word + ") >> (" + i + " % " + of_word + " * " +
                    number(bytes * 8) + ")");
  }
  if (tail_bytes == 8) {
    const std::string two = bytes == 32 ? "own.tails[(" + at + ") / 2u]" : "own.tails";
    text.chunk =
        "let tail = " + (bytes == 8 ? two : "select(" + two + ".xy, " + two + ".zw, (" + at + ") % 2u == 1u)") + ";\n";
    return;
  }
  const std::string own = number(4 / tail_bytes);
  text.chunk = "let tail = own.tails" + std::string(bytes > 4 ? "[" + at + " / " + own + "]" : "") + " >> (" + at +
               " % " + own + " * " + number(8 * tail_bytes % 32) + ");\n";
}

template <typename Block>
constexpr QuantizedLayout layout_of() {
  constexpr GpuRow row = Block::kGpu;
  return {.unit_chunks = row.planes[0] ? 16 / row.planes[0] : 8,
          .words = (gpu_block_bytes(Block::kType) - row.tail_bytes) / 4,
          .tail_bytes = row.tail_bytes,
          .head = row.tail_bytes ? 0 : Block::kElements * (row.planes[0] + row.planes[1] + row.index_bytes) / 32,
          .offset = row.offset,
          .has_min = row.has_min,
          .has_zero = row.has_zero};
}

}  // namespace

QuantizedLayout quantized_layout(Type type) {
  return with_block(type, [](auto block) { return layout_of<decltype(block)>(); });
}

UnitText quantized_unit_text(Type type, int columns, UnitOrder order) {
  const QuantizedLayout& layout = quantized_layout(type);
  const WeightUnits units = weight_units(type, columns, order);
  const int of_block = facts_of(type).block_elements / 8 / units.chunks;
  const std::string_view file = with_block(type, [&](auto block) { return text_of<decltype(block)>(order); });
  UnitText text{.fields = std::string(between(file, "struct Unit { ", " }")),
                .load = std::string(between(file, "  return Unit(", ");\n}")),
                .chunk = {}};
  if (layout.tail_bytes) {
    // Units side by side load the tails of all their blocks at once.
    const int tails = std::max(1, units.lanes / of_block);
    const int first = columns / facts_of(type).block_elements * layout.words * 4;
    // The threads take as many chunks of a block at once, so a block is read in so many turns.
    const int turns = facts_of(type).block_elements / 8 / units.lanes;
    const std::string at = tails == 1 ? "0u" : turns == 1 ? "k" : "k / " + std::to_string(turns) + "u";
    add_tails(text, first, tails, layout.tail_bytes, tails > 1 ? "group" : "block", at);
  }
  text.chunk += std::string(between(file, "-> vec4u {\n", "\n}\n")) + "\n";
  return text;
}

std::vector<std::string> quantized_tables(Type type, UnitOrder order) {
  const auto number = [](uint32_t word) { return std::to_string(word) + "u"; };
  return with_block(type, [&](auto block) {
    using Block = decltype(block);
    const std::string name(type_name(type));
    std::vector<std::string> texts;
    const std::string_view text = text_of<Block>(order), own = text.substr(0, text.find("struct Unit"));
    for (std::string_view function : Block::kGpu.functions)
      if (!function.empty())
        texts.push_back(
            replaced(kernel_source(function), {{"@IQ2_VALUES", number(word_of(kIq2Values, 0))},
                                               {"@IQ3_VALUES", "vec2u(" + number(word_of(kIq3Values, 0)) + ", " +
                                                                   number(word_of(kIq3Values, 4)) + ")"}}));
    if constexpr (requires { Block::kLevels; }) texts.push_back(values_function(name + "_values", Block::kLevels));
    if constexpr (requires { Block::kGrid; }) texts.push_back(grid(name, Block::kGrid));
    if (own.find("\nfn ") != std::string_view::npos) texts.emplace_back(own);
    return texts;
  });
}

std::string block_text(Type type, int columns, std::string_view name) {
  const std::string_view file = kernel_source(std::string(type_name(type)) + "_dots");
  constexpr std::string_view text = R"(const @UPPER_BLOCKS = @BLOCKS;
const @UPPER_HAS_MIN = @HAS_MIN;
struct @NAME_Block { @FIELDS }
fn @NAME_weights(own: @NAME_Block, block: u32) -> BlockWeights {
@WEIGHTS
}
)";
  return replaced(text, {{"@UPPER", in_capitals(name)},
                         {"@BLOCKS", std::to_string(columns / 32) + "u"},
                         {"@HAS_MIN", quantized_layout(type).has_min ? "true" : "false"},
                         {"@FIELDS", std::string(between(file, "struct Block { ", " }"))},
                         {"@WEIGHTS", std::string(between(file, "-> BlockWeights {\n", "\n}\n"))},
                         {"@NAME", std::string(name)}});
}

std::string block_reader_text(Type type, int columns, std::string_view name, std::string_view part,
                              std::string_view buffer) {
  const std::string_view file = kernel_source(std::string(type_name(type)) + "_dots");
  const std::string own(part);
  const std::string load =
      replaced(between(file, "  return Block(", ");\n}"),
               {{"word(", own + "_4(at, "}, {"pair(", own + "_8(at, "}, {"quad(", own + "_16(at, "}});
  constexpr std::string_view text = R"(fn @PART_4(at: u32, i: u32) -> u32 { return @BUFFER[at + i / 4u][i % 4u]; }
fn @PART_16(at: u32, i: u32) -> vec4u { return @BUFFER[at + i]; }
fn @PART_block(at: u32, block: u32) -> @NAME_Block {
  const blocks = @BLOCKS;
  return @NAME_Block(@LOAD);
}
)";
  return replaced(text, {{"@PART", own},
                         {"@BUFFER", std::string(buffer)},
                         {"@LOAD", load},
                         {"@BLOCKS", std::to_string(columns / 32) + "u"},
                         {"@NAME", std::string(name)}});
}

}  // namespace kexa
