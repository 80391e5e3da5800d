// What a session asks for besides answers: copies of its cache, and less of it.
#pragma once

#include "engine/job.h"

namespace kexa {

// Gives the owner's slot what `parent` has cached, pages shared. Events: Kept.
class ForkJob final : public Job {
 public:
  ForkJob(std::shared_ptr<Channel> channel, uint64_t session, uint64_t parent)
      : Job(std::move(channel), session), parent_(parent) {}
  bool advance(const JobContext& context) override;

 private:
  uint64_t parent_;
};

// Goes back to `length` tokens, or none. Events: Kept.
class RewindJob final : public Job {
 public:
  RewindJob(std::shared_ptr<Channel> channel, uint64_t session, int length)
      : Job(std::move(channel), session), length_(length) {}
  bool advance(const JobContext& context) override;

 private:
  int length_;
};

// To a file and back: SessionFile. Events: Kept.
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
