/**
 * The added tokens that a part of a text may become: all; only markers that are no special tokens, such as `<think>` in
 * some models; or none that is special or that the chat template names. A token that lies in several parts needs the
 * permission of each. All other text is encoded alike.
 */
export interface TextSpan {
  /** The first UTF-16 unit of the span. */
  start: number;
  /** One past the last UTF-16 unit. */
  end: number;
  allow: 'all' | 'markers' | 'none';
}
