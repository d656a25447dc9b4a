#!/usr/bin/perl
# The leaves of messages as MIME-tools reads them: file names on standard input, one JSON array a line.
# The second argument is what to look for in a leaf. Used by readers.py.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use MIME::Parser;

my $mark = shift @ARGV;
$| = 1;
my $json = JSON::PP->new->canonical;

sub walk {
    my ($entity, $depth, $leaves) = @_;
    my $type = lc $entity->mime_type;
    if (my @parts = $entity->parts) {
        walk($_, $depth + 1, $leaves) for @parts;
        return;
    }
    my $data = $entity->bodyhandle ? $entity->bodyhandle->as_string : '';
    push @$leaves, [$depth, $type, $data];
}

while (my $file = <STDIN>) {
    chomp $file;
    my $parser = MIME::Parser->new;
    $parser->output_to_core(1);
    $parser->tmp_to_core(1);
    $parser->extract_nested_messages(0);
    $parser->ignore_errors(1);
    my @leaves;
    my $entity = eval { $parser->parse_open($file) };
    walk($entity, 0, \@leaves) if $entity;
    print $json->encode([map {
        my ($depth, $type, $data) = @$_;
        (my $text = $data) =~ s/\r\n/\n/g;
        [$depth, $type, sha256_hex($data), sha256_hex($text), index($data, $mark) >= 0 ? 1 : 0]
    } @leaves]), "\n";
}
