/** Small things for text that people read in a terminal. Colours only where a person is looking. */
import { styleText } from "node:util"

type Style = Parameters<typeof styleText>[0]
const colourful = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
const styled = (style: Style) => (text: string) => (colourful ? styleText(style, text) : text)

export const bold = styled("bold")
export const dim = styled("dim")
export const good = styled("green")
export const bad = styled("red")
export const warm = styled("yellow")

/** 0.9234 -> 92.3 % */
export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

const visible = (text: string): number =>
  text.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g"), "").length

/** Left-aligned columns, padded by what is visible. */
export const columns = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows.reduce<Array<number>>((w, row) => {
    for (const [i, cell] of row.entries()) w[i] = Math.max(w[i] ?? 0, visible(cell))
    return w
  }, [])
  const pad = (cell: string, i: number) => cell + " ".repeat(Math.max(0, (widths[i] ?? 0) - visible(cell)))
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n")
}

/** `[#####-----] 50 %`, rewritten in place by whoever prints it. */
export const progressBar = (share: number, width = 24): string => {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width)
  return `[${"#".repeat(full)}${"-".repeat(width - full)}] ${String(Math.round(share * 100)).padStart(3)} %`
}
