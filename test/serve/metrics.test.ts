/** The figures at /metrics: a strict parser reads them, and they move with what the server does. */
// @ts-expect-error The package has no types.
import parsePrometheus from 'parse-prometheus-text-format';
import test from 'tape';
import type { Server } from '../../lib/serve/index.js';
import { ask, startWithModel } from '../support/server.js';

const messages = [{ role: 'user', content: 'How do I insert a table?' }];

interface Family {
  name: string;
  type: string;
  metrics: { value?: string; labels?: Record<string, string> }[];
}

interface Figures {
  text: string;
  families: Map<string, Family>;
}

/** The families of figures, once the text that is kept for a while has been renewed. */
async function figures(server: Server): Promise<Figures> {
  await new Promise((resolve) => setTimeout(resolve, 150));
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const families = (parsePrometheus(text) as Family[]).map((family): [string, Family] => [family.name, family]);
  return { text, families: new Map(families) };
}

test('figures count requests, tokens and pages', async (t) => {
  const { model, server } = await startWithModel(t, { load: { slots: 2, contextSize: 1024 }, names: ['tiny'] });
  const before = await figures(server);
  const value = (from: Figures, name: string) => Number(from.families.get(name)!.metrics[0]!.value);
  for (const name of ['vllm:num_requests_running', 'vllm:num_requests_waiting', 'vllm:kv_cache_usage_perc']) {
    t.equal(before.families.get(name)!.type, 'GAUGE', `${name} is a gauge`);
    t.deepEqual(before.families.get(name)!.metrics[0]!.labels, { model_name: 'tiny' });
    t.equal(value(before, name), 0);
  }
  const { labels } = before.families.get('vllm:cache_config_info')!.metrics[0]!;
  t.deepEqual([labels!.block_size, labels!.num_gpu_blocks], ['64', String(model.stats().pages.total)]);
  const asked = [1, 2, 3, 4].map((seed) =>
    ask(server, '/v1/chat/completions', { messages, seed, max_tokens: 1000, ignore_eos: true }),
  );
  let during = before;
  for (
    let i = 0;
    i < 50 && !(value(during, 'vllm:kv_cache_usage_perc') > 0 && value(during, 'vllm:num_requests_running') === 2);
    i++
  )
    during = await figures(server);
  t.equal(value(during, 'vllm:num_requests_running'), 2, 'two run');
  t.equal(value(during, 'vllm:num_requests_waiting'), 2, 'two wait');
  t.ok(value(during, 'vllm:kv_cache_usage_perc') > 0);
  const answers = await Promise.all(asked);
  const after = await figures(server);
  t.equal(value(after, 'vllm:num_requests_running') + value(after, 'vllm:num_requests_waiting'), 0);
  t.equal(value(after, 'vllm:kv_cache_usage_perc'), 0, 'kept pages are no load');
  const tokens = answers.reduce((sum, { body }) => sum + body.usage.completion_tokens, 0);
  t.equal(value(after, 'vllm:generation_tokens_total'), tokens, `${tokens} tokens`);
  const ends = after.families.get('vllm:request_success_total')!.metrics;
  t.deepEqual(
    ends.map(({ value: count, labels: of }) => [of!.finished_reason, count]),
    [['length', '4']],
  );
  for (const name of [
    'vllm:time_to_first_token_seconds',
    'vllm:e2e_request_latency_seconds',
    'vllm:request_queue_time_seconds',
  ])
    t.ok(after.text.includes(`\n${name}_count{model_name="tiny"} 4\n`), name);
  t.equal(after.families.get('kexa_step_seconds')!.type, 'HISTOGRAM');
  const { count } = model.stats().steps.answer.seconds;
  t.ok(count > 100);
  for (const end of ['count{', 'bucket{le="+Inf",'])
    t.ok(
      after.text.includes(`\nkexa_step_seconds_${end}model_name="tiny",class="answer"} ${count}\n`),
      `${count} steps`,
    );
});
