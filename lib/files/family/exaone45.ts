/** EXAONE 4.5: EXAONE 4.0's layers with an MTP block and K-EXAONE's tokens, beside a part that sees images. */
import { exaone4 } from './exaone4.js';
import type { Family } from './family.js';
import { kExaone } from './k-exaone.js';

const { folder } = exaone4;

export const exaone45: Family = {
  ...exaone4,
  name: 'EXAONE 4.5',
  modelType: 'exaone4_5',
  architectures: ['Exaone4_5_ForConditionalGeneration'],
  part: {
    field: 'text_config',
    // The second is that of newer revisions.
    types: ['exaone4_5_text', 'exaone4'],
    architectures: ['Exaone4ForCausalLM'],
    others: [
      'vision_config',
      'image_token_id',
      'video_token_id',
      'vision_token_id',
      'vision_start_token_id',
      'vision_end_token_id',
    ],
    does: 'sees images',
  },
  folder: {
    ...folder,
    own: /^(model\.(?!visual\.)|lm_head)/,
    outer: {
      ...folder.outer,
      embed: 'model.language_model.embed_tokens.weight',
      norm: 'model.language_model.norm.weight',
    },
    layer: 'model.language_model.layers.{layer}.',
  },
  folderAlone: folder,
  text: kExaone.text,
  turnEnd: kExaone.turnEnd,
};
