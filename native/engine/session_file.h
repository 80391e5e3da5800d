// A session's cache as a file.
#pragma once

#include <atomic>
#include <string>

#include "device/device.h"

namespace kexa {

// Little-endian. A header (below), the tokens as int32, then for each layer, MTP's last, the rows of its positions: all
// of a global layer's, of a sliding one those its ring holds; in blocks of 64 positions, their keys and then their
// values, as the device stores them. At the end the Checksum of all that.
struct SessionFile {
  const ModelDescription& description;
  const Plan& plan;
  uint64_t model;  // model_fingerprint()
  KvSlots& slots;
  Device& device;
  const std::atomic<bool>& cancelled;

  // Writes what the slot holds to an OutputFile. Throws KEXA_WRITE_FAILED, Cancelled.
  void save(int slot, const std::string& path);

  // Reads a file into the owner's slot, which is only then taken, and returns it. Leaves it empty when it throws:
  // KEXA_NOT_FOUND; KEXA_BAD_FILE for one that is damaged or no regular file; KEXA_SESSION_MISMATCH for one of another
  // model or of other settings; KEXA_CONTEXT_FULL; NoRoom; Cancelled. A file may be forged: nothing in it is believed
  // before it was checked, and the slot then has no row that it does not bring.
  int load(uint64_t owner, const std::string& path);
};

// Differs for models that differ in shape, in how their weights are held, or in the weights themselves, of which some
// bytes of some tensors are looked at. Throws KEXA_BAD_FILE if a file cannot be read.
uint64_t model_fingerprint(const ModelDescription& description, const Plan& plan);

}  // namespace kexa
