#include "decode/step_costs.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace kexa {
namespace {

constexpr int kParts = 3;
// The part of the knowledge in one direction that remains when a step tells something new about it.
constexpr double kKeep = 0.97;
// The weight of the first guess, as a part of a timed step's.
constexpr double kGuessWeight = 0.01;
// The guessed cost of a row, as a part of a step of one row.
constexpr double kGuessedRow = 0.2;
constexpr int kTimedSteps = 3;

using Parts = std::array<double, kParts>;
using Matrix = std::array<Parts, kParts>;

Parts product(const Matrix& matrix, const Parts& vector) {
  Parts result{};
  for (int i = 0; i < kParts; ++i)
    for (int j = 0; j < kParts; ++j) result[i] += matrix[i][j] * vector[j];
  return result;
}

double dot(const Parts& a, const Parts& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// Solves matrix * x = vector for the parts in `free`; the others are 0. The matrix is positive definite, so no pivot is
// 0.
Parts solve(Matrix matrix, Parts vector, unsigned free) {
  Parts x{};
  const auto is_free = [&](int i) { return (free >> i & 1) != 0; };
  for (int i = 0; i < kParts; ++i) {
    if (!is_free(i)) continue;
    for (int below = i + 1; below < kParts; ++below) {
      if (!is_free(below)) continue;
      const double factor = matrix[below][i] / matrix[i][i];
      for (int j = i; j < kParts; ++j) matrix[below][j] -= factor * matrix[i][j];
      vector[below] -= factor * vector[i];
    }
  }
  for (int i = kParts - 1; i >= 0; --i) {
    if (!is_free(i)) continue;
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
  const Parts guess = {1 - kGuessedRow, kGuessedRow, mtp_share_};
  const double one = nanoseconds / dot(step, guess);  // the cost of a step of one row
  for (int i = 0; i < kParts; ++i) {
    estimate_[i] = guess[i] * one;
    knowledge_[i] = {};
    knowledge_[i][i] = kGuessWeight / (one * one);
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

  // In units of this step's time the error is relative.
  Parts scaled;
  for (int i = 0; i < kParts; ++i) scaled[i] = step[i] / nanoseconds;
  const Parts known = product(knowledge_, scaled);
  const double weight = dot(known, scaled);
  for (int i = 0; i < kParts; ++i)
    for (int j = 0; j < kParts; ++j)
      knowledge_[i][j] += scaled[i] * scaled[j] - (1 - kKeep) * known[i] * known[j] / weight;
  const double error = 1 - dot(scaled, estimate_);
  const Parts gain = solve(knowledge_, scaled, 7);
  for (int i = 0; i < kParts; ++i) estimate_[i] += gain[i] * error;
  keep_positive();
}

// The parts without a negative one that the knowledge so far makes likeliest. With some parts held at 0, the others are
// a linear system; the best of these that is not negative is the answer.
void StepCosts::keep_positive() {
  const Parts target = product(knowledge_, estimate_);
  double best = -1;
  for (unsigned free = 1; free < 1u << kParts; ++free) {
    const Parts candidate = solve(knowledge_, target, free);
    if (*std::min_element(candidate.begin(), candidate.end()) < 0) continue;
    // How much of the error the candidate explains.
    const double explained = 2 * dot(target, candidate) - dot(candidate, product(knowledge_, candidate));
    if (explained > best) best = explained, parts_ = candidate;
  }
}

}  // namespace kexa
