#include "decode/step_costs.h"

#include <algorithm>

namespace kexa {
namespace {

constexpr int kParts = 3;
// The noise of a timed step, as a part of its time.
constexpr double kNoise = 0.1;
// How far, from step to step, all parts together and each by itself drift, as a part of their size.
constexpr double kCommonDrift = 0.015, kOwnDrift = 0.005;
// How far off the first guess may be, as a part of its size, and the guessed cost of a row, as a part of a step of one
// row.
constexpr double kGuessError = 2, kGuessedRow = 0.2;
// A part is taken to be at least this large, as a part of a step of one row, where its drift is estimated.
constexpr double kLeastPart = 0.02;
constexpr int kTimedSteps = 3;

using Parts = std::array<double, kParts>;
using Matrix = std::array<Parts, kParts>;

double dot(const Parts& a, const Parts& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Parts product(const Matrix& matrix, const Parts& vector) {
  return {dot(matrix[0], vector), dot(matrix[1], vector), dot(matrix[2], vector)};
}

// Solves matrix * x = vector for the parts in `wanted`; the others are 0. The matrix is positive definite, so no pivot
// is 0.
Parts solve(Matrix matrix, Parts vector, unsigned wanted) {
  Parts x{};
  const auto is_wanted = [&](int i) { return (wanted >> i & 1) != 0; };
  for (int i = 0; i < kParts; ++i) {
    if (!is_wanted(i)) continue;
    for (int below = i + 1; below < kParts; ++below) {
      if (!is_wanted(below)) continue;
      const double factor = matrix[below][i] / matrix[i][i];
      for (int j = i; j < kParts; ++j) matrix[below][j] -= factor * matrix[i][j];
      vector[below] -= factor * vector[i];
    }
  }
  for (int i = kParts - 1; i >= 0; --i) {
    if (!is_wanted(i)) continue;
    x[i] = vector[i];
    for (int j = i + 1; j < kParts; ++j) x[i] -= matrix[i][j] * x[j];
    x[i] /= matrix[i][i];
  }
  return x;
}

}  // namespace

bool StepCosts::is_known() const { return timed_ >= kTimedSteps && most_rows_ > fewest_rows_; }

double StepCosts::cost(int rows, int mtp_passes) const { return dot(parts_, {1, double(rows), double(mtp_passes)}); }

// Makes the first guess from the first step.
void StepCosts::begin(const Parts& step, double nanoseconds) {
  parts_ = {1 - kGuessedRow, kGuessedRow, mtp_share_};
  const double one = nanoseconds / dot(step, parts_);  // the cost of a step of one row
  for (int i = 0; i < kParts; ++i) {
    parts_[i] *= one;
    const double error = kGuessError * std::max(parts_[i], kGuessedRow * one);
    uncertainty_[i] = {};
    uncertainty_[i][i] = error * error;
  }
  estimate_ = parts_;
}

void StepCosts::drift() {
  Parts size;
  for (int i = 0; i < kParts; ++i) size[i] = std::max(parts_[i], kLeastPart * cost(1, 0));
  for (int i = 0; i < kParts; ++i) {
    for (int j = 0; j < kParts; ++j) uncertainty_[i][j] += kCommonDrift * kCommonDrift * size[i] * size[j];
    uncertainty_[i][i] += kOwnDrift * kOwnDrift * size[i] * size[i];
  }
}

void StepCosts::took(int rows, int mtp_passes, double nanoseconds) {
  if (!(nanoseconds > 0)) return;
  const Parts step = {1, double(rows), double(mtp_passes)};
  if (timed_ == 0) begin(step, nanoseconds);
  if (is_known() && cost(rows, mtp_passes) > 0) nanoseconds = std::min(nanoseconds, 2 * cost(rows, mtp_passes));
  fewest_rows_ = timed_ ? std::min(fewest_rows_, rows) : rows;
  most_rows_ = std::max(most_rows_, rows);
  ++timed_;

  drift();
  // In units of this step's time the error is relative.
  Parts scaled;
  for (int i = 0; i < kParts; ++i) scaled[i] = step[i] / nanoseconds;
  const Parts doubt = product(uncertainty_, scaled);
  const double variance = dot(scaled, doubt) + kNoise * kNoise;
  const double error = 1 - dot(scaled, estimate_);
  for (int i = 0; i < kParts; ++i) {
    estimate_[i] += doubt[i] / variance * error;
    for (int j = 0; j < kParts; ++j) uncertainty_[i][j] -= doubt[i] * doubt[j] / variance;
  }
  keep_positive();
}

// Holds some parts at 0 and moves the others as these depend on them, so that none is negative. The likeliest way to do
// so is chosen.
void StepCosts::keep_positive() {
  double least = -1;
  for (unsigned held = 0; held + 1 < 1u << kParts; ++held) {
    const Parts pull = solve(uncertainty_, estimate_, held);
    const Parts move = product(uncertainty_, pull);
    Parts candidate;
    for (int i = 0; i < kParts; ++i) candidate[i] = (held >> i & 1) ? 0 : estimate_[i] - move[i];
    if (*std::min_element(candidate.begin(), candidate.end()) < 0) continue;
    const double unlikelihood = dot(move, pull);
    if (least < 0 || unlikelihood < least) least = unlikelihood, parts_ = candidate;
  }
}

}  // namespace kexa
