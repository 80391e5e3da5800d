import type { Histogram as EngineHistogram } from '../types.js';

/** One histogram with its labels. */
export interface LabelledHistogram {
  labels: Record<string, string>;
  histogram: EngineHistogram;
}

/** Histograms that the engine has counted, as a metric of prom-client. */
export class EngineHistograms {
  readonly name: string;
  readonly help: string;
  readonly #read: () => LabelledHistogram[];

  constructor(name: string, help: string, read: () => LabelledHistogram[]) {
    this.name = name;
    this.help = help;
    this.#read = read;
  }

  async get(): Promise<object> {
    const values = this.#read().flatMap(({ labels, histogram }) => this.#values(labels, histogram));
    return { name: this.name, help: this.help, type: 'histogram', values, aggregator: 'sum' };
  }

  reset(): void {}

  #values(labels: Record<string, string>, { bounds, counts, sum, count }: EngineHistogram): object[] {
    let below = 0;
    const buckets = [...bounds.map(String), '+Inf'].map((le, i) => {
      below += counts[i]!;
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: below };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
