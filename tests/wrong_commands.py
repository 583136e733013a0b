"""Wrong command lines, one per line, whose hints are tested."""

# run in the demo city; `TILE` is one of its tiles
CITY = """
knn
knn --tile foo
knn --tile 16_1_2
knn --tile 16_99999999_2
knn --tile 15_9026_12978
knn --tile TILE --entity way/1
knn --tile TILE --min-entities 99999
knn --tile 16_1_2 --min-entities 1
knn --tile
knn --entity foo/1
knn --entity way/x
knn --entity relation/999999999
knn --entity foo/1 --min-entities 1 --k 3
knn --tile TILE --k 0
knn --tile TILE --k 1001
knn --tile TILE --k many
knn --tile TILE --k
knn --tile TILE --html=1
knn --tile TILE --json rest
knn --tile TILE rest
heatmap --at=-80.835,35.005
heatmap --at=-80.835,35.005 --model tagpool
heatmap --entity way/999999999
knn --tile TILE --model demoo
knn --tile TILE --model tagpol
knn --tile TILE --model tinyy
knn --tile TILE --model demo@ffff
knn --tile TILE --model demo@
knn --tile TILE --region demoo
knn --tile TILE --region demo --region demoo
knn --tile TILE --region nowhere
knn --tile TILE --min-entities -1
knn --tile TILE --max-entities 0
knn --tile TILE --max-entities=x
knn --tile TILE --min-entities 9 --max-entities 3
knn --tile TILE --device gpu
knn --tile TILE --threads 0
knn --tile TILE --threads 1000
knn --taile TILE
knn --tile TILE --neighbours 3
explore --basemap foo --host 999.1.2.3
explore --port 99999 --space x
explore --model demoo --space x
explore --region demoo --space x
probe-entities
probe-entities --task road_clas
probe-entities --task nothing.yaml
probe-entities --task road_class --hide none
probe-entities --task road_class --per-class 0
probe-entities --task road_class --per-class x
probe-entities --task road_class --model demoo
probe-entities --task road_class --region demoo
probe-entities --task road_class --test-region demoo
probe-entities --task road_class --test-region demo
probe-entities --task road_class --device gpu
probe-entities --task road_class --seed -1
embed --model demoo
embed --region demoo
embed --region nowhere
embed --task max_sped
embed --task foo
embed --masked
embed --device gpu
embed --max-entities 0
process --region demoo
process --region sff
process --text-encoder minilmm
process --text-encoder foo
process --simplify-m -1
process --simplify-m nan
process --simplify-m x
process --visibility-k -1
process --threads 0
tile --region demoo
tile --region demo --region nowhere
tile --zoom 13
tile --zoom 19
tile --zoom x
tile --bbox 1,2
tile --bbox 3,1,2,4
tile --bbox 1,4,3,2
tile --bbox 1,2,3,4
tile --polygon absent.geojson
tile --polygon absent.geojson --bbox 1,2,3,4
tile --memory 1K
tile --memory x
tile --threads 0
tile --threads 257
tile --image-size 1
tile --image-size x
tile --bands rgbx
tile --image-codec png
tile --keep-tags ''
tile --drop-tags ' '
tile --merge x
tile --skip-fail
build-tasks --task max_sped
build-tasks --task bridge --task fridge
build-tasks --task foo
build-tasks --task absent.yaml
build-tasks --analyze max_sped
build-tasks --analyze foo
build-tasks --split rand
build-tasks --folds 1
build-tasks --seed -1
build-tasks --bbox 1
build-tasks --min-entities 99999
build-tasks --region demoo
probe
probe --region demo
probe --task max_sped
probe --task foo
probe --task max_speed --model demoo
probe --task max_speed --head mlp --model demo --model tagpol
probe --task max_speed --head foo
probe --task max_speed --region demoo
probe --task max_speed --seed -1
sweep
sweep absent.yaml
sweep thesis-vicre --dry-run
sweep thesis-vicreg --dry-run --region demoo
sweep thesis-vicreg --dry-run --test-region demoo
sweep thesis-vicreg --dry-run --set train.lrr=1
sweep thesis-vicreg --dry-run --set train.lr=-1
sweep thesis-vicreg --dry-run --set train.accumulation=3
sweep thesis-vicreg --dry-run --set foo
sweep thesis-vicreg --dry-run extra
sweep thesis-vicreg --dry-ran
sweep thesis-vicreg --dry-run --workers
swep thesis-vicreg --dry-run
report --out
report --task x
report --ou x
artifacts --lineage tile/demo
artifacts --lineage tiles/demoo
artifacts --lineage tiles/demo@ffff
artifacts --lineage tiles/
artifacts --lineage foo
artifacts --lineage foo/bar
artifacts --lineage
artifacts --verfy
artifacts rest
artifact
knm --tile TILE
nosuch
--wokspace workspace artifacts
--debugg artifacts
--region demo embed
artifacts --workspace workspace
--workspace
"""
