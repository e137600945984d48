# Homebrew's formula; packaging/fill puts in what stands between at signs.
class Gatefold < Formula
  desc "Runs Mixtral and its relatives on CPUs, straight from GGUF files"
  homepage "https://github.com/@REPOSITORY@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    on_arm do
      url "@URL@/gatefold-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@SHA256 gatefold-@VERSION@-aarch64-apple-darwin.tar.gz@"
    end
    on_intel do
      url "@URL@/gatefold-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@SHA256 gatefold-@VERSION@-x86_64-apple-darwin.tar.gz@"
    end
  end
  on_linux do
    on_arm do
      url "@URL@/gatefold-@VERSION@-aarch64-unknown-linux-musl.tar.gz"
      sha256 "@SHA256 gatefold-@VERSION@-aarch64-unknown-linux-musl.tar.gz@"
    end
    on_intel do
      url "@URL@/gatefold-@VERSION@-x86_64-unknown-linux-musl.tar.gz"
      sha256 "@SHA256 gatefold-@VERSION@-x86_64-unknown-linux-musl.tar.gz@"
    end
  end

  def install
    bin.install "gatefold"
    generate_completions_from_executable(bin/"gatefold", "completions")
    system bin/"gatefold", "man", "--output", man1
  end

  test do
    assert_match "gatefold #{version}", shell_output("#{bin}/gatefold --version")
    letter = "Dear Tilda Russell,\nthank you for the walking stick.\nGilbert Grant\n"
    refute_empty pipe_output("#{bin}/gatefold summarize --format text -", letter, 0)
  end
end
