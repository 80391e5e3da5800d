// Saves a session's cache as a file.
#pragma once

#include <atomic>
#include <string>

#include "device/device.h"

namespace kexa {

// A file is little-endian and has, in this order:
// 1. a header (session_file.cc);
// 2. the tokens, as int32;
// 3. for each layer, the MTP layer last, its rows: all of a global layer, and those in the ring of a sliding one. They
//    come in blocks of 64 positions, keys before values, as the device stores them;
// 4. the Checksum of all that.
struct SessionFile {
  const ModelDescription& description;
  const Plan& plan;
  uint64_t model;  // model_fingerprint()
  KvSlots& slots;
  Device& device;
  const std::atomic<bool>& cancelled;

  // Writes the slot's content to an OutputFile. Throws KEXA_WRITE_FAILED and Cancelled.
  void save(int slot, const std::string& path);

  // Reads a file into the owner's slot and returns the slot. The slot is taken only after the header was checked. If it
  // throws, the slot is empty. Throws:
  // - KEXA_NOT_FOUND;
  // - KEXA_BAD_FILE if the file is damaged or no regular file;
  // - KEXA_SESSION_MISMATCH if it is of another model or other settings;
  // - KEXA_CONTEXT_FULL, NoRoom, Cancelled.
  // A file may be forged: nothing in it is believed before it was checked, and the slot gets no row that the file does
  // not bring.
  int load(uint64_t owner, const std::string& path);
};

// A number that differs for models of different shapes, with differently stored weights, or with different weights; of
// the weights it reads some bytes of some tensors. Throws KEXA_BAD_FILE if a file cannot be read.
uint64_t model_fingerprint(const ModelDescription& description, const Plan& plan);

}  // namespace kexa
