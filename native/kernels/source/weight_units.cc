#include "kernels/source/weight_units.h"

#include "kernels/source/dots_layout.h"
#include "kernels/source/fp8_layout.h"
#include "kernels/source/kernel_source.h"
#include "kernels/source/quantized_layout.h"
#include "plan/gpu_plan.h"

namespace kexa {

WeightUnits weight_units(Type type, int columns, UnitOrder order) {
  const int chunks = padded(columns) / 8;
  // The largest number of threads, up to four, that divides the units.
  const auto lanes_of = [](int units) { return units % 4 == 0 ? 4 : units % 2 == 0 ? 2 : 1; };
  if (type == Type::kF8E4m3 && chunks % 2 == 0)
    return {.chunks = 2, .lanes = lanes_of(chunks / 2), .count = chunks / 2};
  if (!is_quantized(type)) return {.chunks = 1, .lanes = 1, .count = chunks};
  const int of_unit = quantized_layout(type).unit_chunks, units = chunks / of_unit;
  return {.chunks = of_unit, .lanes = order == UnitOrder::kWhole ? 1 : lanes_of(units), .count = units};
}

// How a unit is read, and how its chunks become the words of low() and high().
static UnitText unit_text(Type type, int columns, UnitOrder order) {
  if (type == Type::kF8E4m3) return fp8_unit_text(columns);
  if (is_quantized(type)) return quantized_unit_text(type, columns, order);
  if (chunk_words(type) == 1) return {"codes: vec4u", "quad(unit)", "return own.codes;\n"};
  return {"codes: array<vec4u, 2>", "array(quad(unit * 2u), quad(unit * 2u + 1u))", "return own.codes[i];\n"};
}

constexpr std::string_view kUnits = R"(const @UPPER_UNITS = @UNITS;
const @UPPER_UNIT_CHUNKS = @CHUNKS;
struct @NAME_Unit { @FIELDS }
fn @NAME_chunk(unit: u32, k: u32) -> u32 { return (unit / @LANES * @CHUNKS + k) * @LANES + unit % @LANES; }
fn @NAME_word_of(own: @NAME_Unit, unit: u32, k: u32, i: u32) -> vec4u {
@PLACES@CHUNK}
fn @NAME_values(own: @NAME_Unit, unit: u32, k: u32) -> array<vec4f, 2> {
  let first = @NAME_word_of(own, unit, k, 0u);
  return array(@KINDlow(first), @KINDhigh(@SECOND));
}
)";
constexpr std::string_view kUnitOfPart =
    R"(fn @PART_4(at: u32, i: u32) -> u32 { return @BUFFER[at + i / 4u][i % 4u]; }
fn @PART_8(at: u32, i: u32) -> vec2u {
  let two = @BUFFER[at + i / 2u];
  return select(two.xy, two.zw, i % 2u == 1u);
}
fn @PART_16(at: u32, i: u32) -> vec4u { return @BUFFER[at + i]; }
fn @PART_unit(at: u32, unit: u32) -> @NAME_Unit {
@PLACESreturn @NAME_Unit(@LOAD);
}
fn @PART_word(at: u32, chunk: u32, i: u32) -> vec4u {
  let unit = chunk / (@LANES * @CHUNKS) * @LANES + chunk % @LANES;
  return @NAME_word_of(@PART_unit(at, unit), unit, chunk / @LANES % @CHUNKS, i);
}
)";

Prelude& Prelude::reads(std::string_view name, Type type, int columns, int parts, std::string_view kind,
                        std::string_view buffer) {
  const UnitOrder order = unit_order(type, has_dots_);
  const WeightUnits units = weight_units(type, columns, order);
  const UnitText text = unit_text(type, columns, order);
  const auto number = [](int n) { return std::to_string(n) + "u"; };
  const std::string base(name), lanes = number(units.lanes), chunks = number(units.chunks);
  std::string places = "let lane = unit % " + lanes + ";\nlet group = unit / " + lanes + ";\n";
  if (const int elements = facts_of(type).block_elements; elements > 1)
    places += "const blocks = " + number(columns / elements) + ";\nlet block = unit / " +
              number(elements / 8 / units.chunks) + ";\n";
  declare(replaced(kUnits, {{"@UPPER", in_capitals(name)},
                            {"@UNITS", number(units.count)},
                            {"@CHUNKS", chunks},
                            {"@CHUNK", text.chunk},
                            {"@FIELDS", text.fields},
                            {"@LANES", lanes},
                            {"@PLACES", places},
                            {"@KIND", std::string(kind)},
                            {"@SECOND", chunk_words(type) == 2 ? "@NAME_word_of(own, unit, k, 1u)" : "first"},
                            {"@NAME", base}}));
  for (int part = 0; part < parts; ++part) {
    const std::string own = part_name(name, part);
    const std::string load =
        replaced(text.load, {{"word(", own + "_4(at, "}, {"pair(", own + "_8(at, "}, {"quad(", own + "_16(at, "}});
    declare(replaced(kUnitOfPart, {{"@PART", own},
                                   {"@BUFFER", part_name(buffer.empty() ? name : buffer, part)},
                                   {"@LOAD", load},
                                   {"@CHUNKS", chunks},
                                   {"@LANES", lanes},
                                   {"@PLACES", places},
                                   {"@NAME", base}}));
  }
  return *this;
}

}  // namespace kexa
