/** Sudden changes of a link that a Monitor must notice: before and after. */

export interface LinkSetting {
  readonly mbps: number
  readonly delayMs: number
}

export const linkSteps: ReadonlyArray<readonly [LinkSetting, LinkSetting]> = [
  [
    { mbps: 50, delayMs: 5 },
    { mbps: 10, delayMs: 5 },
  ],
  [
    { mbps: 10, delayMs: 5 },
    { mbps: 50, delayMs: 5 },
  ],
  [
    { mbps: 50, delayMs: 20 },
    { mbps: 50, delayMs: 5 },
  ],
  [
    { mbps: 50, delayMs: 5 },
    { mbps: 50, delayMs: 40 },
  ],
]
