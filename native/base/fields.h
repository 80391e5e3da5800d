// One list of a structure's fields, for all code that goes through them: reading, hashing.
#pragma once

#include <algorithm>
#include <string_view>

namespace kexa {

// Calls visit(name, field) for each field. `names` is the text of the list: names with commas between.
template <typename Visit, typename... Fields>
void visit_named(std::string_view names, const Visit& visit, Fields&... fields) {
  const auto next = [&names] {
    const size_t end = std::min(names.find(','), names.size());
    const std::string_view name = names.substr(0, end);
    names = names.substr(std::min(end + 2, names.size()));  // behind comma and space
    return name;
  };
  (visit(next(), fields), ...);
}

}  // namespace kexa

// Stands last in a structure and names all of its fields, in their order. It declares visit_fields(visit), which calls
// visit(name, field) for each. A field that the list leaves out does not compile: every_field_is_listed() takes the
// structure apart, and the count must be right.
//
//   struct Point {
//     int x = 0, y = 0;
//     KEXA_FIELDS(Point, x, y)
//   };
#define KEXA_FIELDS(Structure, ...)                \
  template <typename Visit>                        \
  void visit_fields(const Visit& visit) {          \
    visit_named(#__VA_ARGS__, visit, __VA_ARGS__); \
  }                                                \
  template <typename Visit>                        \
  void visit_fields(const Visit& visit) const {    \
    visit_named(#__VA_ARGS__, visit, __VA_ARGS__); \
  }                                                \
  static void every_field_is_listed(const Structure& all) { [[maybe_unused]] const auto& [__VA_ARGS__] = all; }
