/** Chooses the files of a repository that a model needs. */
import { KexaError } from '../errors.js';
import { beside, laterPart } from '../files/model-path.js';
import { sizeText } from '../options.js';
import type { HubFile, HubListing } from './listing.js';

/** Weights in forms that kexa does not read. */
const otherWeights =
  /\.(bin|pt|pth|ckpt|h5|msgpack|onnx|onnx_data|tflite|ot|mlmodel|npz|pkl|nemo|ggml|pdf|png|jpe?g|gif|mp4)$/i;

/**
 * The files that match one of `patterns`, in which `*` stands for any characters and `?` for one. Without patterns the
 * files that kexa reads: all but weights in other forms and pictures. A repository of several GGUF files holds several models,
 * and one has to be named.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT if there is no such file, or several models
 */
export function chooseFiles({ repository, files }: HubListing, patterns: readonly string[] | undefined): HubFile[] {
  if (patterns !== undefined && patterns.length > 0) {
    const tests = patterns.map(patternOf);
    const chosen = files.filter(({ path }) => tests.some((test) => test.test(path)));
    if (chosen.length > 0) return chosen;
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `include: wanted a file of ${repository} that matches ${patterns.join(' or ')}, found ${files.map(({ path }) => path).join(', ')}`,
    );
  }
  const readable = files.filter(({ path }) => !otherWeights.test(path) && !path.startsWith('.git'));
  if (readable.some(({ path }) => path.endsWith('.safetensors')))
    return readable.filter(({ path }) => !path.endsWith('.gguf'));
  const models = readable.filter(({ path }) => /\.gguf$/i.test(path) && !laterPart.test(path));
  const main = models.filter(({ path }) => !beside.test(path));
  if (main.length <= 1) return readable;
  const list = main.map(({ path, size }) => `${path} (${sizeText(size)})`).join(', ');
  throw new KexaError(
    'KEXA_INVALID_ARGUMENT',
    `include: ${repository} has several models in GGUF; name one, as in --include '${main[0]!.path.replace(/-00001-of-/, '-*-of-')}'. There are ${list}`,
  );
}

function patternOf(pattern: string): RegExp {
  const source = pattern.replace(/[.*+?^${}()|[\]\\]/g, (sign) =>
    sign === '*' ? '.*' : sign === '?' ? '.' : `\\${sign}`,
  );
  return new RegExp(`^${source}$`);
}
