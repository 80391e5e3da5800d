// Which of two texts the model finds likelier, from CommonJS.    node examples/04-score.cjs [model folder]
const { join } = require('node:path');
const { loadModel } = require('kexa');

async function main() {
  const model = await loadModel(process.argv[2] ?? join(__dirname, '../models/tiny'));
  for (const text of ['In the beginning God created the heaven', 'In the beginning God created the spreadsheet']) {
    const logprobs = await model.score(model.tokenizer.encode(text));
    const mean = logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length;
    console.log(`${Math.exp(-mean).toFixed(2).padStart(8)} perplexity: ${text}`);
  }
  await model.close();
}

main();
