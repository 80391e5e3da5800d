// Learns how long steps take.
#pragma once

#include <array>

namespace kexa {

// The cost of a step (nanoseconds), as a sum of a fixed part, a part for each row and one for each pass of the MTP
// block. Learned from timed steps by recursive least squares over relative errors, so that a short step counts as much
// as a long one. Older steps are forgotten as if the parts drifted, mostly all together as a machine gets slower or
// faster: what a row costs is still known after an hour of steps of one row. No part is ever negative, so that more
// work never costs less. Only the engine's thread uses it.
class StepCosts {
 public:
  // `mtp_share` is the guessed cost of a pass before one was timed, as a part of a step of one row.
  explicit StepCosts(double mtp_share = 0) : mtp_share_(mtp_share) {}

  // Tells the time of a step. A time far above what was expected counts less, because the machine was probably busy
  // with other work.
  void took(int rows, int mtp_passes, double nanoseconds);

  // 0 before any step was timed.
  double cost(int rows, int mtp_passes) const;
  double row_cost() const { return parts_[1]; }
  // Whether steps of different row counts were timed. If not, row_cost() is a guess.
  bool is_known() const;

 private:
  using Parts = std::array<double, 3>;  // fixed, for each row, for each MTP pass
  using Matrix = std::array<Parts, 3>;
  void begin(const Parts& step, double nanoseconds);
  void drift();
  void keep_positive();

  double mtp_share_;
  Parts estimate_{};      // unconstrained
  Parts parts_{};         // the likeliest without negative parts
  Matrix uncertainty_{};  // covariance of the estimate's error
  int timed_ = 0, fewest_rows_ = 0, most_rows_ = 0;
};

}  // namespace kexa
