# frozen_string_literal: true

# Prints what a Vagrantfile sets, as JSON: a list of [path, arguments], for tests. Stands in for Vagrant's configuration.
require "json"

CALLS = []

class Recorder
  def initialize(path)
    @path = path
  end

  def method_missing(name, *arguments, &block)
    # Machines and providers are told from each other by the word after the method's name.
    named = block ? ["#{name} #{arguments.first}".strip] : [name.to_s.delete_suffix("=")]
    here = @path + named
    CALLS << [here.join("/"), arguments] unless arguments.empty?
    return Recorder.new(here) unless block

    block.call(Recorder.new(here))
  end

  def respond_to_missing?(*)
    true
  end
end

module Vagrant
  def self.configure(_version)
    yield Recorder.new([])
  end
end

load File.expand_path(ARGV.shift)
puts JSON.generate(CALLS)
