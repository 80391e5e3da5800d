// Requests of a session that are not answers: copying its cache, cutting it, saving and loading it.
#pragma once

#include "engine/job.h"

namespace kexa {

// Gives the owner's slot the cached tokens of `parent`. Both share the pages. Events: Kept.
class ForkJob final : public Job {
 public:
  ForkJob(std::shared_ptr<Channel> channel, uint64_t session, uint64_t parent)
      : Job(std::move(channel), session), parent_(parent) {}
  bool advance(const JobContext& context) override;

 private:
  uint64_t parent_;
};

// Goes back to `length` tokens, or to none if the slot cannot. Events: Kept.
class RewindJob final : public Job {
 public:
  RewindJob(std::shared_ptr<Channel> channel, uint64_t session, int length)
      : Job(std::move(channel), session), length_(length) {}
  bool advance(const JobContext& context) override;

 private:
  int length_;
};

// Saves the session to a file, and loads it: see SessionFile. Events: Kept.
class SaveJob final : public Job {
 public:
  SaveJob(std::shared_ptr<Channel> channel, uint64_t session, std::string path)
      : Job(std::move(channel), session), path_(std::move(path)) {}
  bool advance(const JobContext& context) override;

 private:
  std::string path_;
};

class LoadSessionJob final : public Job {
 public:
  LoadSessionJob(std::shared_ptr<Channel> channel, uint64_t session, std::string path)
      : Job(std::move(channel), session), path_(std::move(path)) {}
  bool advance(const JobContext& context) override;

 private:
  std::string path_;
};

}  // namespace kexa
