/**
 * The added tokens that a part of a text may become: all; only markers that are no special tokens, such as `<think>` in some
 * models; or none that is special or that the chat template names. A token that lies in several parts needs the permission of
 * each. All other text is encoded alike.
 */
export interface TextSpan {
  /** In UTF-16 units, as strings count. */
  start: number;
  /** Behind the last unit. */
  end: number;
  allow: 'all' | 'markers' | 'none';
}
