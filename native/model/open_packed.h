// Finds the stored tensors of a packed matrix.
#pragma once

#include <functional>

#include "model/description.h"

namespace kexa {

// Returns the bytes of a stored tensor: `bytes` of them at least.
using FindPlace = std::function<PackedMatrix::Place(const PackedPlace& place, int64_t bytes)>;

// Returns the matrix of an entry that has `packed`, with its codes at `codes`. Reads what is small: the factor, the
// groups of the columns and the shape. Throws what `find` throws. Throws KEXA_BAD_FILE, naming the tensor and its file,
// if one of the three is none, or if the codes take more bytes than the entry has.
PackedMatrix open_packed(const TensorEntry& entry, const std::byte* codes, const FindPlace& find);

}  // namespace kexa
